"""LibriSpeech: SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac, the texts of a chapter in SPEAKER-CHAPTER.trans.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given
from bench.datasets.layout import audio_in, folders_that, holds_chapters, keyed_lines

TITLE = "LibriSpeech"
DEFAULT = "test"
_TEXTS = "*.trans.txt"


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(_is_split, path)


def entries(name: str, part: Path) -> Sequence[Entry]:
    texts: dict[str, str] = {}
    for file in sorted(part.glob(f"[0-9]*/[0-9]*/{_TEXTS}")):
        texts.update(keyed_lines(file))
    files = audio_in(part, "[0-9]*/[0-9]*/*")
    return [Entry(path.stem, path, given(texts.get(path.stem)), path.parent.parent.name, "en") for path in files]


def _is_split(folder: Path) -> bool:
    return holds_chapters(folder, _TEXTS)
