"""NeMo manifests: JSON lines of audio_filepath, text, duration, and where they are stated speaker and lang."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.dataset import Entry
from bench.datasets.cells import json_lines
from bench.datasets.layout import entries_of, first_line, is_hidden
from bench.errors import UserError

TITLE = "NeMo manifest"
DEFAULT = "test"
_SUFFIXES = (".json", ".jsonl", ".ndjson")


def parts(path: Path) -> Mapping[str, Path]:
    if path.is_file():
        return {"": path} if _is_manifest(path) else {}
    files = [file for file in sorted(path.glob("*.*json*")) if not is_hidden(Path(file.name)) and _is_manifest(file)]
    return {file.stem: file for file in files} if len(files) != 1 else {"": files[0]}


def entries(name: str, part: Path) -> Sequence[Entry]:
    return entries_of(part, _rows(part))


def _rows(part: Path) -> Iterator[tuple[int, Any]]:
    for line, row in json_lines(part):
        if isinstance(row, dict) and row.get("offset"):
            raise UserError(f"{part}:{line}: offset: is a piece of a longer recording; write it as a file of its own first")
        yield line, row


def _is_manifest(path: Path) -> bool:
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    try:
        row = json.loads(first_line(path))
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "audio_filepath" in row
