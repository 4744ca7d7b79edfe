"""Pitch: error in cents where both signals are voiced, and voicing decisions; frame by frame, without time warping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from bench.dataset import Utterance
from bench.metric import Audio, Metric, MetricFailure
from bench.metrics._checks import check_options, check_signal
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_SAMPLE_RATE = 16000
_FRAME_S = 0.01
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
_MIN_DURATION_S = 0.1  # Praat's window holds three periods of the lowest pitch

_ESTIMATOR = "Praat's autocorrelation method every 10 ms, 60 to 500 Hz"
_LICENCE = "GPL-3.0-or-later (praat-parselmouth)"
_CITATION = """@article{jadoul2018parselmouth,
  title   = {Introducing {Parselmouth}: a {Python} Interface to {Praat}},
  author  = {Jadoul, Yannick and Thompson, Bill and de Boer, Bart},
  journal = {Journal of Phonetics},
  volume  = {71},
  year    = {2018},
}"""

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            name="f0_rmse_cents",
            unit="cents",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=False,
            definition=f"Root mean square of 1200 log2(F0 ratio) over the frames voiced in both signals; {_ESTIMATOR}.",
            source="Boersma 1993; Praat through parselmouth",
            licence=_LICENCE,
            citation=_CITATION,
        ),
        MetricInfo(
            name="vuv_error",
            unit="%",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=False,
            definition=f"Share of frames voiced in one signal only; {_ESTIMATOR}.",
            source="Boersma 1993; Praat through parselmouth",
            licence=_LICENCE,
            citation=_CITATION,
        ),
        MetricInfo(
            name="vuv_f1",
            unit="",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=True,
            definition=f"Harmonic mean of precision and recall of voiced frames; {_ESTIMATOR}.",
            source="Morrison et al. 2022 (CARGAN) with another estimator; Praat through parselmouth",
            licence=_LICENCE,
            citation=_CITATION,
        ),
    )
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("parselmouth", "praat-parselmouth>=0.4.5", "GPL-3.0-or-later")]


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    voicing = tuple(name for name in names if name.startswith("vuv_"))
    metrics: list[Metric] = [Voicing(voicing)] if voicing else []
    return [*metrics, PitchError()] if "f0_rmse_cents" in names else metrics


class _OnPitch:
    """A metric whose prepared reference is its F0: float64 [F] in Hz, 0 where unvoiced."""

    sample_rate = _SAMPLE_RATE

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        check_signal(audio, "the reference", _MIN_DURATION_S, _SAMPLE_RATE)
        pitch = _pitch(audio.tobytes())
        if not pitch.any():
            raise MetricFailure("no voiced frame in the reference")
        return pitch


class PitchError(_OnPitch):
    names = ("f0_rmse_cents",)

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        pitch = _pitch(degraded.tobytes())
        both = (prepared > 0) & (pitch > 0)
        if not both.any():
            raise MetricFailure("no frame is voiced in both signals")
        cents = 1200 * np.log2(pitch[both] / prepared[both])
        return {"f0_rmse_cents": Score(float(np.sqrt(np.mean(cents**2))), {"voiced_frames": float(both.sum())})}


class Voicing(_OnPitch):
    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        reference, voiced = prepared > 0, _pitch(degraded.tobytes()) > 0
        values = {
            "vuv_error": 100 * float(np.mean(reference != voiced)),
            "vuv_f1": 2 * float(np.sum(reference & voiced)) / float(reference.sum() + voiced.sum()),
        }
        return {name: Score(values[name]) for name in self.names}


@lru_cache(maxsize=64)  # a reference and the degraded signals of a sweep: both metrics ask for them
def _pitch(samples: bytes) -> np.ndarray:
    import parselmouth

    sound = parselmouth.Sound(np.frombuffer(samples, np.float32).astype(np.float64), _SAMPLE_RATE)
    return sound.to_pitch_ac(time_step=_FRAME_S, pitch_floor=_LOWEST_HZ, pitch_ceiling=_HIGHEST_HZ).selected_array["frequency"]
