"""STOI and eSTOI through pystoi."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from bench.dataset import Utterance
from bench.metric import Audio, Metric, MetricFailure
from bench.metrics._checks import check_options, check_signal
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_TOO_SHORT = 1e-5  # what pystoi returns, with a warning, where fewer than 30 frames hold speech

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            name="stoi",
            unit="",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="Mean correlation of clipped third-octave envelopes over 384 ms segments at 10 kHz.",
            source="Taal et al. 2011; pystoi, extended=False",
            licence="MIT (pystoi)",
            citation="""@article{taal2011stoi,
  title   = {An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech},
  author  = {Taal, Cees H. and Hendriks, Richard C. and Heusdens, Richard and Jensen, Jesper},
  journal = {IEEE Transactions on Audio, Speech, and Language Processing},
  volume  = {19},
  number  = {7},
  year    = {2011},
}""",
        ),
        MetricInfo(
            name="estoi",
            unit="",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="Like STOI without clipping, the envelopes of a segment normalised over time and over bands.",
            source="Jensen and Taal 2016; pystoi, extended=True",
            licence="MIT (pystoi)",
            citation="""@article{jensen2016estoi,
  title   = {An Algorithm for Predicting the Intelligibility of Speech Masked by Modulated Noise Maskers},
  author  = {Jensen, Jesper and Taal, Cees H.},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  volume  = {24},
  number  = {11},
  year    = {2016},
}""",
        ),
    )
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("pystoi", "pystoi>=0.4.1", "MIT")]


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    return [Stoi(name, extended=name == "estoi") for name in names]


class Stoi:
    sample_rate = 16000

    def __init__(self, name: str, extended: bool) -> None:
        from pystoi import stoi

        self.names = (name,)
        self._stoi = stoi
        self._extended = extended

    def prepare(self, reference: Utterance, audio: Audio) -> Audio:
        check_signal(audio, "the reference")
        return audio

    def score(self, prepared: Audio, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal")
        with warnings.catch_warnings(), _repeatable():
            warnings.simplefilter("ignore", RuntimeWarning)
            value = float(self._stoi(prepared, degraded, self.sample_rate, extended=self._extended))
        if value == _TOO_SHORT:
            raise MetricFailure("fewer than 30 frames (384 ms) of the reference hold speech")
        return {self.names[0]: Score(value)}


@contextmanager
def _repeatable() -> Iterator[None]:
    """pystoi's eSTOI adds noise of 1e-16 from NumPy's global generator: enough to change a record's last digit from run to run."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
