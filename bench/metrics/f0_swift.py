"""Pitch by SwiftF0, a small network whose weights are in its package: a second opinion beside Praat's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.metric import Audio, MetricEntry, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.metrics._pitch import SAMPLE_RATE, Estimator, columns, shared
from bench.needs import Need, package

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0  # as Praat's
_VOICED = 0.5  # confidence

METRICS: Mapping[str, MetricEntry] = columns(
    suffix="_swift",
    method="SwiftF0 every 16 ms, 60 to 500 Hz, voiced at a confidence of 0.5",
    source="swift-f0 0.3, model in the package",
    licence="MIT (swift-f0 and its model)",
    citation=cite("nieradzik2025swiftf0"),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("swift_f0", "speech-codec-bench[f0]", "MIT")]


load = loader(METRICS, lambda device, options: shared(_swift()))


def _swift() -> Estimator:
    from swift_f0 import SwiftF0

    detector = SwiftF0(threads=1, spin=False)

    def pitch(audio: Audio) -> np.ndarray:
        found = detector.detect(audio, SAMPLE_RATE, _LOWEST_HZ, _HIGHEST_HZ)
        return np.where(found.confidence >= _VOICED, found.pitch_hz, 0.0)

    return pitch
