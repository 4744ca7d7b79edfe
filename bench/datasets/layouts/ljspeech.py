"""LJSpeech, and what is laid out as it: metadata.csv of `ID|text|normalised text` without a header, and wavs/ID.wav."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import audio
from bench.dataset import Entry
from bench.datasets.cells import given, text_of
from bench.datasets.layout import existing, first_line, folders_that
from bench.errors import UserError

TITLE = "LJSpeech"
DEFAULT = ""
_LIST, _RECORDINGS = "metadata.csv", "wavs"
_OWN = re.compile(r"LJ\d{3}-\d{4}")  # others take the layout for other voices and languages


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(_is_layout, path, depth=1)


def entries(name: str, part: Path) -> Sequence[Entry]:
    found = []
    suffixes = [".wav", *sorted(audio.SUFFIXES - {".wav"})]
    for number, line in enumerate(text_of(part / _LIST).split("\n"), start=1):
        if not line.strip():
            continue
        identifier, *texts = line.strip().split("|")
        if not texts:
            raise UserError(f"{part / _LIST}:{number}: has no '|' between id and text")
        own = _OWN.fullmatch(identifier) is not None
        path = existing(part / _RECORDINGS / identifier.removesuffix(".wav"), suffixes)
        text = given(texts[1].strip()) if len(texts) > 1 else None
        text = text or given(texts[0].strip())
        found.append(Entry(identifier.removesuffix(".wav"), path, text, "LJ" if own else None, "en" if own else ""))
    return found


def _is_layout(folder: Path) -> bool:
    return (folder / _RECORDINGS).is_dir() and (folder / _LIST).is_file() and "|" in first_line(folder / _LIST)
