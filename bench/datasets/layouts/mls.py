"""Multilingual LibriSpeech: mls_LANGUAGE/SPLIT/transcripts.txt (`ID<tab>text`) and SPLIT/audio/SPEAKER/BOOK/SPEAKER_BOOK_NUMBER.flac."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given
from bench.datasets.layout import existing, first_line, folders_that, keyed_lines
from bench.errors import UserError
from bench.language import language_tag

TITLE = "MLS"
DEFAULT = "test"
_TEXTS = "transcripts.txt"


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(_is_split, path)


def entries(name: str, part: Path) -> Sequence[Entry]:
    language = _language(part.absolute())
    found = []
    for identifier, text in keyed_lines(part / _TEXTS).items():
        speaker, _, rest = identifier.partition("_")
        if not rest:
            raise UserError(f"{part / _TEXTS}: {identifier}: is not SPEAKER_BOOK_NUMBER")
        stem = part / "audio" / speaker / rest.split("_")[0] / identifier
        found.append(Entry(identifier, existing(stem, (".flac", ".opus", ".wav", ".mp3")), given(text), speaker, language))
    return found


def _is_split(folder: Path) -> bool:
    return (folder / "audio").is_dir() and re.match(r"\d+_\d+_\d+\t", first_line(folder / _TEXTS)) is not None


def _language(part: Path) -> str:
    """The language of its folder's name: German of mls_german/test and of mls_german_opus/test."""
    for folder in (part, *part.parents[:2]):
        if found := re.fullmatch(r"mls_([a-z]+)(_.*)?", folder.name.lower()):
            try:
                return language_tag(found[1].capitalize())
            except ValueError:
                return ""
    return ""
