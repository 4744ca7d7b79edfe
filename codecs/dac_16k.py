"""DAC at 16 kHz: 12 codebooks at 50 frames/s."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.codec import Codec, OperatingPoint
from bench.codecs.bases.dac import info, load_dac, weights_need
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES
from bench.needs import Need

INFO = info("DAC 16 kHz")
VERSION = 1
FRAME_RATE = 16000 / 320  # Hz
MAX_N_Q = 12
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 4, 8, 12)
WEIGHTS = Published("descript/dac_16khz", "7c2fc5e759f1f501aefc6e7a0265cc57f5d17ba7", TRANSFORMERS_FILES, 297, "MIT")


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [weights_need(WEIGHTS, checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return load_dac("dac_16k", WEIGHTS, 16000, checkpoint, device)
