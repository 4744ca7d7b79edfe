"""What recognisers heard, so that none listens twice: every text in memory for a while, those of references on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.checkpoint import cache_folder
from bench.files import write_bytes
from bench.metric import Audio

SAMPLE_RATE = 16000
VERSION = 1  # of the texts of all recognisers: raised when one of them gives the same audio another text
_TOGETHER = 8  # signals in a batch: Whisper large-v3 keeps 0.5 GB of each
_REMEMBERED = 1024  # texts


class Recogniser(Protocol):
    """Speech to text; the same audio gives the same text, whatever came before it or stands beside it."""

    languages: tuple[str, ...] | None  # tags of bench.language.language_tag(); None: any

    def transcribe(self, signals: Sequence[Audio], language: str) -> list[str]:
        """The text of each of `signals`, float32 [T] at 16 kHz, all of one length."""
        ...

    def identity(self, language: str) -> str:
        """What a text follows from beside the audio (weights, packages), as the name of a folder."""
        ...


class Transcripts:
    """The texts of one recogniser.

    Only references are put on disk, but any audio is looked up there: what the codec `reference` decodes is the reference, bit by bit.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.languages = recogniser.languages
        self._recogniser = recogniser
        self._heard: dict[Path, str] = {}  # by the file that holds the text, or would hold it

    def of(self, signals: Sequence[Audio], language: str) -> list[str]:
        """The text of each of `signals`, float32 [T] at 16 kHz, all of one length; what is new is heard in batches."""
        files = [self._file(audio, language) for audio in signals]
        for file in files:
            if file not in self._heard and (text := _read(file)) is not None:
                self._heard[file] = text
        new = {file: audio for file, audio in zip(files, signals, strict=True) if file not in self._heard}
        for start in range(0, len(new), _TOGETHER):
            batch = list(new)[start : start + _TOGETHER]
            texts = self._recogniser.transcribe([new[file] for file in batch], language)
            self._heard.update(zip(batch, texts, strict=True))
        texts = [self._heard[file] for file in files]
        for oldest in list(self._heard)[:-_REMEMBERED]:
            del self._heard[oldest]
        return texts

    def of_reference(self, audio: Audio, language: str) -> str:
        """The same for one reference, and on disk for other codecs, workers and runs."""
        file = self._file(audio, language)
        if (text := _read(file)) is None:
            (text,) = self.of([audio], language)
            _write(file, text)
        return text

    def _file(self, audio: Audio, language: str) -> Path:
        heard = f"{language}\n".encode() + np.ascontiguousarray(audio, np.float32).tobytes()
        folder = cache_folder() / "transcripts" / f"{self._recogniser.identity(language)}-v{VERSION}"
        return folder / f"{hashlib.sha256(heard).hexdigest()}.txt"


def _write(file: Path, text: str) -> None:
    """The sha256 of the text in a line of its own, then the text."""
    content = text.encode()
    write_bytes(file, f"{hashlib.sha256(content).hexdigest()}\n".encode() + content)


def _read(file: Path) -> str | None:
    """The text that _write() left; None where there is none or where it is damaged, so that it is made anew."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return content.decode() if hashlib.sha256(content).hexdigest().encode() == digest else None
