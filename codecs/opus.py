"""Opus (RFC 6716) through libopus: 20 ms packets in speech mode, variable rate around the one asked for."""

from __future__ import annotations

import torch

from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.opus import CITATION, CODER, POINTS, Opus
from bench.codecs.bases.points import pick
from bench.needs import Need

INFO = CodecInfo("classical", "Opus", "BSD-3-Clause", CITATION, "https://opus-codec.org")
VERSION = 1


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [CODER.need("pip install av")]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return Opus(CODER)
