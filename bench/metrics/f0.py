"""Pitch by Praat: error in cents where both signals are voiced, and voicing decisions; frame by frame, without time warping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.metric import Audio, MetricEntry, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.metrics._pitch import SAMPLE_RATE, columns, shared
from bench.needs import Need, package

_FRAME_S = 0.01
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0

METRICS: Mapping[str, MetricEntry] = columns(
    suffix="",
    method="Praat's autocorrelation method every 10 ms, 60 to 500 Hz",
    source="Boersma 1993; Praat through parselmouth",
    licence="GPL-3.0-or-later (praat-parselmouth)",
    citation=cite("jadoul2018parselmouth"),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("parselmouth", "praat-parselmouth>=0.4.5", "GPL-3.0-or-later")]


load = loader(METRICS, lambda device, options: shared(_praat))


def _praat(audio: Audio) -> np.ndarray:
    import parselmouth

    sound = parselmouth.Sound(audio.astype(np.float64), SAMPLE_RATE)
    return sound.to_pitch_ac(time_step=_FRAME_S, pitch_floor=_LOWEST_HZ, pitch_ceiling=_HIGHEST_HZ).selected_array["frequency"]
