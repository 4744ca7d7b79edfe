"""STOI and eSTOI in one pass over pystoi's functions: equal to pystoi's values, the reference's side prepared once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_SAMPLE_RATE = 16000
_SEED = 0  # of the noise of 1e-16 that pystoi adds for eSTOI, from NumPy's global generator: which would change where a band is silent

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: Stoi(names),
    MetricInfo(
        name="stoi",
        unit="",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=True,
        definition="Mean correlation of clipped third-octave envelopes over 384 ms segments at 10 kHz.",
        source="Taal et al. 2011; pystoi, extended=False",
        licence="MIT (pystoi)",
        citation=cite("taal2011stoi"),
    ),
    MetricInfo(
        name="estoi",
        unit="",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=True,
        definition="Like STOI without clipping, the envelopes of a segment normalised over time and over bands.",
        source="Jensen and Taal 2016; pystoi, extended=True",
        licence="MIT (pystoi)",
        citation=cite("jensen2016estoi"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("pystoi", "pystoi>=0.4.1,<0.5", "MIT")]


load = loader(METRICS)


@dataclass(frozen=True)
class _Reference:
    """What both measures take from the reference; M segments of 15 bands and 30 frames.

    loud        bool [F], the frames that are kept of both signals
    segments    float64 [M, 15, 30], third-octave envelopes
    levels      float64 [M, 15, 1], their norms
    centred     float64 [M, 15, 30], of mean 0 and norm 1 over the frames
    whitened    float64 [M, 15, 30], normalised over frames, then over bands; None where eSTOI was not asked for
    random      state of the generator after the reference's noise
    """

    loud: np.ndarray
    segments: np.ndarray
    levels: np.ndarray
    centred: np.ndarray
    whitened: np.ndarray | None
    random: Any


class Stoi:
    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._stoi = importlib.import_module("pystoi.stoi")  # the module: pystoi.stoi is the function in it
        self._utils = importlib.import_module("pystoi.utils")
        self._window = np.hanning(self._stoi.N_FRAME + 2)[1:-1]
        self._clip = 1 + 10 ** (-self._stoi.BETA / 20)

    @np.errstate(all="ignore")  # what is not finite in the end is a failure
    def prepare(self, reference: Utterance, audio: Audio) -> _Reference:
        check_signal(audio, "the reference")
        frames = self._frames(self._utils.resample_oct(audio, self._stoi.FS, _SAMPLE_RATE))
        energies = 20 * np.log10(np.linalg.norm(frames, axis=1) + self._utils.EPS)
        loud = np.max(energies, initial=-np.inf) - self._stoi.DYN_RANGE - energies < 0
        segments = self._segments(frames[loud])
        centred = segments - np.mean(segments, axis=2, keepdims=True)
        centred /= np.linalg.norm(centred, axis=2, keepdims=True) + self._utils.EPS
        random = np.random.RandomState(_SEED)
        whitened = self._whitened(segments, random) if "estoi" in self.names else None
        return _Reference(loud, segments, np.linalg.norm(segments, axis=2, keepdims=True), centred, whitened, random.get_state())

    @np.errstate(all="ignore")
    def score(self, prepared: _Reference, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal")
        frames = self._frames(self._utils.resample_oct(degraded, self._stoi.FS, _SAMPLE_RATE))
        segments = self._segments(frames[prepared.loud])
        measures = {"stoi": self._plain, "estoi": self._extended}
        return {name: Score(measures[name](prepared, segments)) for name in self.names}

    def _plain(self, reference: _Reference, segments: np.ndarray) -> float:
        scaled = segments * (reference.levels / (np.linalg.norm(segments, axis=2, keepdims=True) + self._utils.EPS))
        np.minimum(scaled, reference.segments * self._clip, out=scaled)
        scaled -= np.mean(scaled, axis=2, keepdims=True)
        scaled /= np.linalg.norm(scaled, axis=2, keepdims=True) + self._utils.EPS
        return float(np.sum(scaled * reference.centred) / (segments.shape[0] * segments.shape[1]))

    def _extended(self, reference: _Reference, segments: np.ndarray) -> float:
        assert reference.whitened is not None
        random = np.random.RandomState()
        random.set_state(reference.random)
        whitened = self._whitened(segments, random)
        return float(np.sum(reference.whitened * whitened / self._stoi.N) / segments.shape[0])

    def _frames(self, audio: np.ndarray) -> np.ndarray:
        """Windowed frames, half over each other, float64 [F, 256] of float32 [T] at 10 kHz; as pystoi has it, without the last."""
        length = self._stoi.N_FRAME
        if len(audio) <= length:
            return np.zeros((0, length))
        return self._window * np.lib.stride_tricks.sliding_window_view(audio, length)[: len(audio) - length : length // 2]

    def _segments(self, loud_frames: np.ndarray) -> np.ndarray:
        """Third-octave envelopes of what is left of a signal when its silent frames are cut out: float64 [M, 15, 30]."""
        stoi = self._stoi
        joined = self._utils._overlap_and_add(loud_frames, stoi.N_FRAME // 2) if len(loud_frames) else np.zeros(0)
        spectrum = np.fft.rfft(self._frames(joined), n=stoi.NFFT).T
        envelopes = np.sqrt(np.matmul(stoi.OBM, np.square(np.abs(spectrum))))
        if envelopes.shape[1] < stoi.N:
            raise MetricFailure("fewer than 30 frames (384 ms) of the reference hold speech")
        return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(envelopes, stoi.N, axis=1).transpose(1, 0, 2))

    def _whitened(self, segments: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """row_col_normalize of pystoi, whose products with diagonal matrices are scalings."""
        values = segments
        for axis in (2, 1):
            values = values + self._utils.EPS * random.standard_normal(segments.shape)
            values -= np.mean(values, axis=axis, keepdims=True)
            values *= 1 / np.sqrt(self._utils.vect_two_norm(values, axis=axis))
        return values
