"""ViSQOL in speech mode, through a Python port of Google's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 1.0

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: Visqol(),
    MetricInfo(
        name="visqol_speech",
        unit="MOS",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=True,
        definition="MOS-LQO of ViSQOL's speech mode at 16 kHz with the lattice model; the older polynomial gives other numbers.",
        source="visqol-python 3, use_lattice_model=True; google/visqol",
        licence="Apache-2.0 (visqol-python)",
        citation=cite("chinen2020visqol"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [
        package("visqol", "visqol-python[lattice]>=3.8", "Apache-2.0"),
        package("ai_edge_litert", "ai-edge-litert>=2.1.5", "Apache-2.0"),
    ]


load = loader(METRICS)


class Visqol:
    names = ("visqol_speech",)
    sample_rate = _SAMPLE_RATE

    def __init__(self) -> None:
        from visqol import VisqolApi

        self._api = VisqolApi()
        self._api.create(mode="speech", use_lattice_model=True)

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        check_signal(audio, "the reference", _MIN_DURATION_S, _SAMPLE_RATE)
        return audio.astype(np.float64)

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal")
        result = self._api.measure_from_arrays(prepared, degraded.astype(np.float64), sample_rate=_SAMPLE_RATE)
        return {"visqol_speech": Score(float(result.moslqo))}
