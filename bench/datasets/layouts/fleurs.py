"""FLEURS: LANGUAGE_REGION/SPLIT.tsv without a header, and its recordings in audio/SPLIT/ or SPLIT/; it names no speakers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given, text_of
from bench.datasets.layout import first_line, folders_that
from bench.errors import UserError
from bench.language import language_tag

TITLE = "FLEURS"
DEFAULT = "test"
_SPLITS = ("test", "dev", "train")
_FILE, _TEXT = 1, 3  # sentence, file, raw transcription, transcription, its characters, samples, gender


def parts(path: Path) -> Mapping[str, Path]:
    languages = folders_that(lambda folder: bool(_tables(folder)), path)
    return {f"{name}/{table.stem}".lstrip("/"): table for name, folder in languages.items() for table in _tables(folder)}


def entries(name: str, part: Path) -> Sequence[Entry]:
    places = [part.parent / "audio" / part.stem, part.parent / part.stem, part.parent / "audio", part.parent]
    try:
        language = language_tag(part.absolute().parent.name.split("_")[0])
    except ValueError:
        language = ""
    found = []
    for number, line in enumerate(text_of(part).split("\n"), start=1):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) <= _TEXT:
            raise UserError(f"{part}:{number}: has {len(cells)} cells, not the seven of FLEURS")
        path = next((place / cells[_FILE] for place in places if (place / cells[_FILE]).is_file()), places[0] / cells[_FILE])
        found.append(Entry(path.stem, path, given(cells[_TEXT].strip()), None, language))
    return found


def _tables(folder: Path) -> list[Path]:
    return [table for split in _SPLITS if _is_table(table := folder / f"{split}.tsv")]


def _is_table(path: Path) -> bool:
    return re.match(r"\d+\t[^\t]+\.wav\t[^\t]*\t", first_line(path)) is not None
