"""The original audio passed through: the ceiling of every metric."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint
from bench.codecs.bases.points import pick
from bench.needs import Need

INFO = CodecInfo(kind="ceiling", title="Original audio", licence="")
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {"original": OperatingPoint("original", frame_rate=0.0, n_q=0)}


class Reference:
    sample_rate = 0  # any: nothing is resampled
    hop_length = 1
    parameters = 0
    weights_sha256 = ""

    def analyse(self, audio: Tensor) -> Tensor:
        return audio

    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        return Encoded((), len(latent), (latent.numpy().astype("<f4").tobytes(),))

    def decode(self, encoded: Encoded) -> Tensor:
        if encoded.streams or list(map(len, encoded.packets)) != [4 * encoded.num_samples]:
            raise ValueError("the stream is not this codec's: it is not the samples in one packet")
        return torch.from_numpy(np.frombuffer(encoded.packets[0], "<f4").astype(np.float32))


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return []


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return Reference()
