"""Delay and gain of the degraded signal: they rank nothing, but explain STOI and Mel when a codec is late or loud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.needs import Need
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLE_RATE = 16000
_MAX_DELAY = _SAMPLE_RATE // 4  # samples

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: DelayAndGain(names),
    MetricInfo(
        name="delay_ms",
        unit="ms",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=False,
        definition="Lag of the greatest cross-correlation within 250 ms; positive where the degraded signal is late.",
        source="this project",
        licence="Apache-2.0",
        diagnostic=True,
    ),
    MetricInfo(
        name="gain_db",
        unit="dB",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=False,
        definition="Root mean square of the degraded signal over that of the reference.",
        source="this project",
        licence="Apache-2.0",
        diagnostic=True,
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


@dataclass(frozen=True)
class _Reference:
    energy: float
    fft_size: int
    conjugate: Tensor  # of the spectrum


class DelayAndGain:
    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def prepare(self, reference: Utterance, audio: Audio) -> _Reference:
        import torch

        check_signal(audio, "the reference")
        size = 1 << (len(audio) + _MAX_DELAY - 1).bit_length()  # long enough that no lag wraps around
        return _Reference(_energy(audio), size, torch.fft.rfft(torch.tensor(audio), size).conj())

    def score(self, prepared: _Reference, degraded: Audio) -> Mapping[str, Score]:
        import torch

        check_signal(degraded, "the degraded signal")
        spectrum = torch.fft.rfft(torch.tensor(degraded), prepared.fft_size) * prepared.conjugate
        correlation = torch.fft.irfft(spectrum, prepared.fft_size)  # negative lags at its end
        reach = min(_MAX_DELAY, len(degraded) - 1)
        lags = torch.arange(-reach, reach + 1)
        values = {
            "delay_ms": 1000 * int(lags[correlation[lags].argmax()]) / _SAMPLE_RATE,
            "gain_db": 10 * float(np.log10(_energy(degraded) / prepared.energy)),
        }
        return {name: Score(values[name]) for name in self.names}


def _energy(audio: Audio) -> float:
    return float(np.sum(np.square(audio, dtype=np.float64)))
