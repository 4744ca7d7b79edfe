"""Common Voice: LANGUAGE/SPLIT.tsv (client_id, path, sentence, ..., locale) and LANGUAGE/clips/NAME.mp3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.layout import entries_of, first_line, folders_that, table_rows

TITLE = "Common Voice"
DEFAULT = "test"
_CLIPS = "clips"
_SPLITS = ("test", "dev", "train", "validated", "other", "invalidated")


def parts(path: Path) -> Mapping[str, Path]:
    languages = folders_that(lambda folder: (folder / _CLIPS).is_dir() and bool(_tables(folder)), path)
    return {f"{name}/{table.stem}".lstrip("/"): table for name, folder in languages.items() for table in _tables(folder)}


def entries(name: str, part: Path) -> Sequence[Entry]:
    return entries_of(part, table_rows(part, "\t", quoted=False), part.parent / _CLIPS)


def _tables(folder: Path) -> list[Path]:
    return [folder / f"{split}.tsv" for split in _SPLITS if "sentence" in first_line(folder / f"{split}.tsv").split("\t")]
