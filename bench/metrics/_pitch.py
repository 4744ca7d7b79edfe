"""Pitch error in cents where both signals are voiced, and voicing decisions, frame by frame; each estimator has a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, entries
from bench.metrics._checks import check_signal
from bench.record import MetricInfo, Score

SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.1  # Praat's window holds three periods of the lowest pitch
_REMEMBERED = 64  # a reference and the degraded signals of a sweep: both metrics ask for them

Estimator = Callable[[Audio], np.ndarray]  # float32 [T] at 16 kHz -> F0 in Hz, float64 [F], 0 where unvoiced


def columns(suffix: str, method: str, source: str, licence: str, citation: str) -> dict[str, MetricEntry]:
    """Pitch error, voicing error and F1 of one estimator; their factories take what `shared` gives."""

    def facts(name: str, unit: str, higher_is_better: bool, definition: str) -> MetricInfo:
        return MetricInfo(
            name=f"{name}{suffix}",
            unit=unit,
            version=1,
            sample_rate=SAMPLE_RATE,
            higher_is_better=higher_is_better,
            definition=f"{definition}; {method}.",
            source=source,
            licence=licence,
            citation=citation,
        )

    error = facts("vuv_error", "%", False, "Share of frames voiced in one signal only")
    f1 = facts("vuv_f1", "", True, "Harmonic mean of precision and recall of voiced frames (CARGAN's, with another estimator)")
    cents = facts("f0_rmse_cents", "cents", False, "Root mean square of 1200 log2(F0 ratio) over the frames voiced in both signals")
    measures = {error.name: _voicing_error, f1.name: _voicing_f1}
    return {
        **entries(PitchError, cents),
        **entries(lambda names, pitch: Voicing(names, pitch, measures), error, f1),
    }


def shared(estimator: Estimator) -> tuple[Estimator]:
    """What all columns of an estimator have in common: its pitch tracks, kept for a while."""
    track = lru_cache(maxsize=_REMEMBERED)(lambda samples: estimator(np.frombuffer(samples, np.float32)))
    return (lambda audio: track(audio.tobytes()),)


class _OnPitch:
    """A metric whose prepared reference is its F0."""

    sample_rate = SAMPLE_RATE

    def __init__(self, names: tuple[str, ...], pitch: Estimator) -> None:
        self.names = names
        self._pitch = pitch

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        check_signal(audio, "the reference", _MIN_DURATION_S, SAMPLE_RATE)
        pitch = self._pitch(audio)
        if not pitch.any():
            raise MetricFailure("no voiced frame in the reference")
        return pitch


class PitchError(_OnPitch):
    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        pitch = self._pitch(degraded)
        both = (prepared > 0) & (pitch > 0)
        if not both.any():
            raise MetricFailure("no frame is voiced in both signals")
        cents = 1200 * np.log2(pitch[both] / prepared[both])
        return {self.names[0]: Score(float(np.sqrt(np.mean(cents**2))), {"voiced_frames": float(both.sum())})}


class Voicing(_OnPitch):
    def __init__(self, names: tuple[str, ...], pitch: Estimator, measures: Mapping[str, Callable[[np.ndarray, np.ndarray], float]]) -> None:
        super().__init__(names, pitch)
        self._measures = measures

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        reference, voiced = prepared > 0, self._pitch(degraded) > 0
        return {name: Score(self._measures[name](reference, voiced)) for name in self.names}


def _voicing_error(reference: np.ndarray, voiced: np.ndarray) -> float:
    return 100 * float(np.mean(reference != voiced))


def _voicing_f1(reference: np.ndarray, voiced: np.ndarray) -> float:
    return 2 * float(np.sum(reference & voiced)) / float(reference.sum() + voiced.sum())
