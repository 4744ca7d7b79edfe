"""LibriTTS and LibriTTS-R: SPLIT/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav with .normalized.txt beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given, text_of
from bench.datasets.layout import audio_in, folders_that, holds_chapters

TITLE = "LibriTTS"
DEFAULT = "test"
_TEXT = ".normalized.txt"


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(_is_split, path)


def entries(name: str, part: Path) -> Sequence[Entry]:
    return [Entry(path.stem, path, _text(path), path.parent.parent.name, "en") for path in audio_in(part, "[0-9]*/[0-9]*/*")]


def _is_split(folder: Path) -> bool:
    return holds_chapters(folder, f"*{_TEXT}")


def _text(path: Path) -> str | None:
    text = path.with_name(path.stem + _TEXT)
    return given(text_of(text).strip()) if text.is_file() else None
