"""DAC at 24 kHz: 32 codebooks at 75 frames/s."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.codec import Codec, OperatingPoint
from bench.codecs.bases.dac import info, load_dac, weights_need
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES
from bench.needs import Need

INFO = info("DAC 24 kHz")
VERSION = 1
FRAME_RATE = 24000 / 320  # Hz
MAX_N_Q = 32
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 4, 8, 16, 32)
WEIGHTS = Published("descript/dac_24khz", "6ba020b5ba7d9d8076fb90db7e67f27e31980f6e", TRANSFORMERS_FILES, 299, "MIT")


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [weights_need(WEIGHTS, checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return load_dac("dac_24k", WEIGHTS, 24000, checkpoint, device)
