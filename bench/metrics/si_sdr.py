"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, NotApplicable, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need
from bench.record import MetricInfo, Score

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: SiSdr(),
    MetricInfo(
        name="si_sdr",
        unit="dB",
        version=1,
        sample_rate=16000,
        higher_is_better=True,
        definition="Energy of the degraded signal's projection on the reference over the energy of the rest, both of zero mean.",
        source="Le Roux et al. 2019",
        licence="Apache-2.0 (own implementation)",
        citation=cite("leroux2019sdr"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


class SiSdr:
    names = ("si_sdr",)
    sample_rate = 16000

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        check_signal(audio, "the reference")
        return _zero_mean(audio)

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        estimate = _zero_mean(degraded)
        target = (estimate @ prepared) / (prepared @ prepared) * prepared
        distortion = estimate - target
        signal_energy, distortion_energy = float(target @ target), float(distortion @ distortion)
        if signal_energy == 0:
            raise MetricFailure("the degraded signal holds nothing of the reference: minus infinity")
        if distortion_energy == 0:
            raise NotApplicable("the degraded signal is the reference, scaled: infinity")
        return {"si_sdr": Score(10 * float(np.log10(signal_energy / distortion_energy)))}


def _zero_mean(audio: Audio) -> np.ndarray:
    """float64 [T]: in float32 the residue of two near-equal signals would be rounding."""
    samples = audio.astype(np.float64)
    return samples - samples.mean()
