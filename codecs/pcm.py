"""Uncompressed samples of fewer bits or at a lower rate: a codec whose quality and bitrate are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.audio import fit_length, resample
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.needs import Need

INFO = CodecInfo(kind="classical", title="Linear PCM", licence="")
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {
    f"{bits}bit_{rate // 1000}khz": OperatingPoint(f"{bits}bit_{rate // 1000}khz", rate, 1, {"bits": bits})
    for bits, rate in ((16, 24000), (12, 24000), (8, 24000), (16, 16000), (16, 8000))
}


class PCM:
    """A token a sample; one byte says at which rate (kHz)."""

    sample_rate = 24000
    hop_length = 1
    parameters = 0
    weights_sha256 = ""

    def analyse(self, audio: Tensor) -> Tensor:
        return audio

    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        size = 2 ** int(point.options["bits"])
        audio = torch.from_numpy(resample(latent.numpy(), self.sample_rate, int(point.frame_rate)))
        tokens = torch.round(audio * (size // 2)).clamp(-size // 2, size // 2 - 1).to(torch.int64) + size // 2
        return Encoded((Stream(tokens[None], (size,)),), len(latent), (bytes([int(point.frame_rate) // 1000]),))

    def decode(self, encoded: Encoded) -> Tensor:
        (stream,) = encoded.streams
        half = stream.codebook_sizes[0] // 2
        audio = ((stream.tokens[0] - half).to(torch.float32) / half).numpy()
        audio = resample(audio, 1000 * encoded.packets[0][0], self.sample_rate)
        return torch.from_numpy(fit_length(audio, encoded.num_samples).copy())


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return []


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return PCM()
