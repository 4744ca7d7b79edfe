"""The contract of a data set: utterances, the entries that name their files, and the set that a suite uses (bench/datasets/)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bench import audio


@dataclass(frozen=True)
class Utterance:
    """One recording with what is known of it.

    audio         float32 [T], mono, in [-1, 1], at its own `sample_rate`
    language      BCP-47 primary tag ("en", "de"); "" where unknown
    """

    id: str
    audio: np.ndarray
    sample_rate: int
    text: str | None = None
    speaker: str | None = None
    language: str = ""
    dataset: str = ""

    @cached_property
    def audio_sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.audio, np.float32).tobytes() + str(self.sample_rate).encode()).hexdigest()

    @property
    def duration_s(self) -> float:
        return len(self.audio) / self.sample_rate


@dataclass(frozen=True)
class Entry:
    """An utterance that is still a file; small, and readable from any process that sees the disk.

    duration_s, sample_rate    as the manifest states them, else of the file's header; 0 where that is unreadable
    """

    id: str
    path: Path
    text: str | None = None
    speaker: str | None = None
    language: str = ""
    dataset: str = ""
    duration_s: float = 0.0
    sample_rate: int = 0

    def read(self) -> Utterance:
        samples, sample_rate = audio.read(self.path)
        return Utterance(self.id, samples, sample_rate, self.text, self.speaker, self.language, self.dataset)


@dataclass(frozen=True)
class Dataset:
    """The entries that a suite uses of one data set, in the order of its listing.

    revision      the hub's commit, or "sha256:" and the head of the hash of the listing
    recognised    of a corpus as it lies on disk, a sentence on its layout and all that is in it; "" elsewhere
    """

    name: str
    revision: str
    entries: tuple[Entry, ...]
    licence: str = ""
    citation: str = ""
    recognised: str = ""
