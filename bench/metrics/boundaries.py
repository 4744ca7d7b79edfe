"""Where a codec's token frames lie in the speech: at phone boundaries, in silence, vowels or consonants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.dataset import Utterance
from bench.language import language_tag
from bench.metric import Audio, MetricEntry, NotApplicable, Sent, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need, package
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    import torch

    from bench.codec import Stream

_SAMPLE_RATE = 16000
_PHONE_RATE = 100  # Hz, of the aligner
_RANDOM_DRAWS = 20
_TOLERANCES_MS = (20, 40)
_CLASSES = ("silence", "vowels", "consonants")
_CONTROLS = {
    "": " between the segments of a codec that sends durations",
    "_uniform": " of as many segments of even length",
    "_random": f" of as many segments drawn at random (mean of {_RANDOM_DRAWS} draws)",
}
_ALIGNED = "Phones: forced alignment of the transcript by pocketsphinx, in steps of 10 ms."


def _info(name: str, unit: str, definition: str) -> MetricInfo:
    return MetricInfo(
        name=name,
        unit=unit,
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=True,
        definition=f"{definition} {_ALIGNED}",
        source="this project",
        licence="Apache-2.0 (this project), BSD-2-Clause (pocketsphinx)",
        citation=cite("huggins2006pocketsphinx"),
        languages=("en",),
        diagnostic=True,
        needs_text=True,
        of_stream=True,
    )


METRICS: Mapping[str, MetricEntry] = {
    **entries(
        lambda names, alignments: BoundaryF1(names, alignments),
        *(
            _info(
                f"boundary_f1_{tolerance}ms{control}",
                "%",
                f"F1 of the boundaries{of_what}, against phone boundaries, matched one to one within {tolerance} ms.",
            )
            for tolerance in _TOLERANCES_MS
            for control, of_what in _CONTROLS.items()
        ),
    ),
    **{
        name: entry
        for kind in _CLASSES
        for name, entry in entries(
            lambda names, alignments: FrameRate(names, alignments),
            _info(f"frame_rate_{kind}", "Hz", f"Token frames a second of {kind}; a frame over several phones counts by its shares."),
        ).items()
    },
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("pocketsphinx", "pocketsphinx>=5.0.3", "BSD-2-Clause")]


def _shared(device: torch.device, options: Mapping[str, str]) -> tuple[Alignments]:
    return (Alignments(),)


load = loader(METRICS, _shared)


class Alignments:
    """The phones of an utterance, aligned once for all columns that ask for them one after the other."""

    def __init__(self) -> None:
        self._last: tuple[bytes, str, np.ndarray | None] | None = None

    def of(self, reference: Utterance, audio: Audio) -> np.ndarray:
        """Indices into bench.alignment.PHONES, int64 [100 a second]."""
        from bench.alignment import Aligner

        if reference.text is None:
            raise NotApplicable("no transcript")
        if (language := language_tag(reference.language)) != "en":
            raise NotApplicable(f"the aligner knows en, not {language or 'a language that nobody states'}")
        check_signal(audio, "the reference")
        content = audio.tobytes()
        if self._last is None or self._last[:2] != (content, reference.text):
            found = Aligner().align(audio, reference.text)  # a fresh one each time: it adapts to what it hears
            self._last = (content, reference.text, None if found is None else np.array(found))
        phones = self._last[2]
        if phones is None:
            raise NotApplicable("the transcript can not be aligned: a word is not in the aligner's dictionary, or is not what is said")
        return phones


class _FrameMetric:
    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...], alignments: Alignments) -> None:
        self.names = names
        self._alignments = alignments

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        return self._alignments.of(reference, audio)

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        raise NotApplicable("of a recording, no frames are known")


class BoundaryF1(_FrameMetric):
    def score_stream(self, prepared: np.ndarray, degraded: Audio, sent: Sent) -> Mapping[str, Score]:
        durations = _stream(sent).durations
        if durations is None:
            raise NotApplicable("the codec sends no durations")
        base_frame_s, base_frames, segments = sent.hop_length / sent.sample_rate, int(durations.sum()), len(durations)
        boundaries_s = (1 + np.flatnonzero(np.diff(prepared))) / _PHONE_RATE
        rng = np.random.default_rng(base_frames)
        drawn = (np.sort(rng.choice(np.arange(1, base_frames), segments - 1, replace=False)) for _ in range(_RANDOM_DRAWS))
        found = {  # in base frames
            "": [np.cumsum(durations.numpy())[:-1]],
            "uniform": [np.round(np.arange(1, segments) * base_frames / segments)],
            "random": list(drawn),
        }

        def f1(name: str) -> float:
            tolerance, _, control = name.removeprefix("boundary_f1_").partition("_")
            tolerance_s = float(tolerance.removesuffix("ms")) / 1000
            return float(np.mean([boundary_f1(places * base_frame_s, boundaries_s, tolerance_s) for places in found[control]]))

        return {name: Score(f1(name)) for name in self.names}


class FrameRate(_FrameMetric):
    def score_stream(self, prepared: np.ndarray, degraded: Audio, sent: Sent) -> Mapping[str, Score]:
        stream = _stream(sent)
        if stream.durations is None:  # of equal length, whatever the base frame is (SNAC has three rates)
            durations = np.full(stream.num_frames, len(degraded) / _SAMPLE_RATE / stream.num_frames)
        else:
            durations = stream.durations.numpy() * sent.hop_length / sent.sample_rate
        (name,) = self.names
        kind = name.removeprefix("frame_rate_")
        rate = frame_rate_in(np.concatenate([[0], np.cumsum(durations)]), classes(prepared) == _CLASSES.index(kind))
        if rate is None:
            raise NotApplicable(f"there are no {kind} in it" if kind != "silence" else "there is no silence in it")
        return {name: Score(rate)}


def _stream(sent: Sent) -> Stream:
    """The one with durations, where there are several; else the last, which is the finest (SNAC)."""
    if sent.encoded is None or not sent.encoded.streams:
        raise NotApplicable("the codec sends no tokens")
    streams = sent.encoded.streams
    return next((stream for stream in streams if stream.durations is not None), streams[-1])


def boundary_f1(found_s: np.ndarray, true_s: np.ndarray, tolerance_s: float) -> float:
    """F1 in % of two ascending lists of times, matched one to one where they are at most `tolerance_s` apart; 0 where one is empty."""
    hits, i, j = 0, 0, 0
    tolerance_s += 1e-9  # multiples of frames fall on the tolerance itself
    while i < len(found_s) and j < len(true_s):
        if abs(found_s[i] - true_s[j]) <= tolerance_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found_s[i] < true_s[j]:
            i += 1
        else:
            j += 1
    return 200.0 * hits / max(1, len(found_s) + len(true_s))


def classes(phones: np.ndarray) -> np.ndarray:
    """Of each phone its place in silence, vowels, consonants, int64."""
    from bench.alignment import PHONES

    of_phone = np.array([0 if phone == "SIL" else 1 if phone[0] in "AEIOU" else 2 for phone in PHONES])
    return of_phone[phones]


def frame_rate_in(edges_s: np.ndarray, chosen: np.ndarray) -> float | None:
    """Frames a second of the time that is `chosen` (bool, 100 a second); None where none is.

    edges_s   [F + 1], ascending: frame i lasts from edges_s[i] to edges_s[i + 1]
    """
    seconds_before = np.concatenate([[0], np.cumsum(chosen)]) / _PHONE_RATE
    at = np.interp(edges_s, np.arange(len(seconds_before)) / _PHONE_RATE, seconds_before)
    total_s = seconds_before[-1]
    shares = np.diff(at) / np.diff(edges_s)
    return float(shares.sum() / total_s) if total_s > 0 else None
