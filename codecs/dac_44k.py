"""DAC at 44.1 kHz: 9 codebooks at 86.1 frames/s."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.codec import Codec, OperatingPoint
from bench.codecs.bases.dac import info, load_dac, weights_need
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES
from bench.needs import Need

INFO = info("DAC 44.1 kHz")
VERSION = 1
FRAME_RATE = 44100 / 512  # Hz
MAX_N_Q = 9
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 4, 6, 9)
WEIGHTS = Published("descript/dac_44khz", "c1bc521685adf9cfe247bc39a5ca58917eda1ac4", TRANSFORMERS_FILES, 307, "MIT")


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [weights_need(WEIGHTS, checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return load_dac("dac_44k", WEIGHTS, 44100, checkpoint, device)
