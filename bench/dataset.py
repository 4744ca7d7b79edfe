"""Utterances and where they come from: the bundled corpus, a folder, a manifest, or the `datasets` library."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


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
