"""Uncompressed samples of fewer bits or at a lower rate: a codec whose quality and bitrate are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.audio import fit_length, resample
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.codecs.bases.received import check_length
from bench.needs import Need

INFO = CodecInfo(kind="classical", title="Linear PCM", licence="")
VERSION = 1
_RATES_KHZ, _SIZES = (8, 16, 24), (2**8, 2**12, 2**16)
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
        return Encoded((Stream(tokens[None], (size,)),), len(latent), (_byte(int(point.frame_rate) // 1000),))

    def decode(self, encoded: Encoded) -> Tensor:
        if len(encoded.streams) != 1 or len(encoded.packets) != 1 or encoded.packets[0] not in map(_byte, _RATES_KHZ):
            raise ValueError("the stream is not this codec's: it is no stream of samples and a byte for their rate")
        (stream,), rate = encoded.streams, 1000 * encoded.packets[0][0]
        if len(stream.codebook_sizes) != 1 or stream.codebook_sizes[0] not in _SIZES or stream.durations is not None:
            raise ValueError(f"the stream is not this codec's: its samples have {stream.codebook_sizes} levels")
        check_length(stream.num_frames, encoded.num_samples, self.sample_rate / rate, fewer=1)  # resampling may round down
        half = stream.codebook_sizes[0] // 2
        audio = ((stream.tokens[0] - half).to(torch.float32) / half).numpy()
        audio = resample(audio, rate, self.sample_rate)
        return torch.from_numpy(fit_length(audio, encoded.num_samples).copy())


def _byte(value: int) -> bytes:
    return bytes([value])


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return []


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return PCM()
