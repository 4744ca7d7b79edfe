"""The hub's audiofolder: recordings, and metadata.csv, .jsonl or .parquet beside or above them with a column file_name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.dataset import Entry
from bench.datasets.cells import json_lines
from bench.datasets.layout import entries_of, first_line, folders_that, table_rows
from bench.errors import UserError

TITLE = "audiofolder"
DEFAULT = "test"
_KEY = "file_name"
_LISTS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(lambda folder: _list(folder) is not None, path)


def entries(name: str, part: Path) -> Sequence[Entry]:
    path = _list(part)
    if path is None:
        raise UserError(f"{part}: holds none of {', '.join(_LISTS)} with a column {_KEY}")
    return entries_of(path, _rows(path))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix == ".csv":
        return table_rows(path)
    return json_lines(path) if path.suffix == ".jsonl" else enumerate(_parquet(path), start=1)


def _list(folder: Path) -> Path | None:
    return next((folder / name for name in _LISTS if (folder / name).is_file() and _names_files(folder / name)), None)


def _names_files(path: Path) -> bool:
    if path.suffix == ".parquet":
        return any(_KEY in row for row in _parquet(path)[:1])
    line = first_line(path)
    if path.suffix == ".csv":
        return _KEY in (cell.strip('" \r') for cell in line.split(","))
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and _KEY in row


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_table(path).to_pylist())
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: is no parquet file ({error})") from None
