"""A CSV or TSV file with a header: a column for the recording (`path`, `file_name` ...), others for text, id, speaker and language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.layout import entries_of, table_rows

TITLE = "table"
DEFAULT = ""


def parts(path: Path) -> Mapping[str, Path]:
    return {"": path} if path.is_file() and path.suffix.lower() in (".csv", ".tsv") else {}


def entries(name: str, part: Path) -> Sequence[Entry]:
    return entries_of(part, table_rows(part))
