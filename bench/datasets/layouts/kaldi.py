"""A Kaldi data folder: wav.scp, and where they are there text, utt2spk and utt2lang."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given
from bench.datasets.layout import folders_that, keyed_lines
from bench.errors import UserError
from bench.language import language_tag

TITLE = "Kaldi"
DEFAULT = "test"
_RECORDINGS = "wav.scp"


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(lambda folder: (folder / _RECORDINGS).is_file(), path)


def entries(name: str, part: Path) -> Sequence[Entry]:
    if (part / "segments").is_file():
        raise UserError(f"{part / 'segments'}: cuts utterances out of longer recordings; write them as files of their own first")
    texts, speakers, languages = (_optional(part / file) for file in ("text", "utt2spk", "utt2lang"))
    found = []
    for identifier, place in keyed_lines(part / _RECORDINGS).items():
        if place.endswith("|") or place.startswith("|"):
            raise UserError(f"{part / _RECORDINGS}: {identifier}: is a command, and none is run here; write its audio to a file")
        if not place:
            raise UserError(f"{part / _RECORDINGS}: {identifier}: names no file")
        try:
            language = language_tag(languages.get(identifier))
        except ValueError as error:
            raise UserError(f"{part / 'utt2lang'}: {identifier}: {error}") from None
        found.append(Entry(identifier, _located(part, place), given(texts.get(identifier)), given(speakers.get(identifier)), language))
    return found


def _optional(path: Path) -> dict[str, str]:
    return keyed_lines(path) if path.is_file() else {}


def _located(folder: Path, place: str) -> Path:
    """A relative path begins at the recipe, of which `folder` is data/NAME, or at `folder` itself."""
    choices = [base / place for base in (folder, *folder.absolute().parents[:2])]
    return next((path for path in choices if path.is_file()), choices[0])
