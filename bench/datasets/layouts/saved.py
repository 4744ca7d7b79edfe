"""A data set of the `datasets` library as save_to_disk leaves it: Arrow files with the audio in them, a folder for each split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.checkpoint import cache_folder
from bench.dataset import Entry
from bench.datasets.layout import entries_of, folders_that
from bench.errors import UserError
from bench.files import write_bytes

TITLE = "saved data set"
DEFAULT = "test"
_STATE = "state.json"
_ROWS_AT_ONCE = 32


def parts(path: Path) -> Mapping[str, Path]:
    return folders_that(lambda folder: (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file(), path, depth=1)


def entries(name: str, part: Path) -> Sequence[Entry]:
    """The rows; their recordings are written to the cache once, encoded as they are in them."""
    files = _files(part)
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:12]
    folder = cache_folder() / "datasets" / f"{part.absolute().name}-{digest}"
    rows = list(_rows(part, files, folder))
    names = [[identifier for identifier in row.pop("ids") if identifier] for _, row in rows]
    # FLEURS repeats an id for everybody who reads the sentence, others a file's name in each speaker's folder.
    kind = next(kind for kind in (0, 1, -1) if len({of_row[min(kind, len(of_row) - 1)] for of_row in names}) == len(rows))
    named = [(line, {**row, "id": of_row[min(kind, len(of_row) - 1)]}) for (line, row), of_row in zip(rows, names, strict=True)]
    return entries_of(part / _STATE, named, folder)


def _rows(part: Path, files: Sequence[Path], folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow

    number = 0
    for file in files:
        try:
            with pyarrow.memory_map(str(file)) as source:
                reader = pyarrow.ipc.open_stream(source)
                column = _audio_column(part, reader.schema)
                for batch in reader:
                    for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                        for row in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                            yield number + 1, _row(row, row.pop(column) or {}, folder / f"{number:06d}.audio", number)
                            number += 1
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{file}: cannot be read: {error}") from None


def _row(row: dict[str, Any], cell: Mapping[str, Any], target: Path, number: int) -> dict[str, Any]:
    inner = Path(cell.get("path") or "")
    content = cell.get("bytes")
    if content is None and cell.get("path") and inner.is_file():
        target = inner.absolute()
    elif not (target.is_file() and target.stat().st_size == len(content or b"")):
        write_bytes(target, content or b"")
    cells = {key: value for key, value in row.items() if not isinstance(value, (dict, list, bytes)) and key != "path"}
    ids = [inner.stem, "" if cells.get("id") is None else str(cells["id"]), f"{number:06d}"]
    return {**cells, "ids": ids, "path": str(target)}


def _audio_column(part: Path, schema: Any) -> str:
    for field in schema:
        if {"bytes", "path"} <= {field.type.field(index).name for index in range(field.type.num_fields)}:
            return str(field.name)
    raise UserError(f"{part}: has no column of audio; its columns: {', '.join(schema.names)}")


def _files(part: Path) -> list[Path]:
    try:
        names = [str(each["filename"]) for each in json.loads((part / _STATE).read_text(encoding="utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{part / _STATE}: is not as save_to_disk writes it ({error!r})") from None
    files = [part / name for name in names]
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"{missing[0]}: is missing, and {part / _STATE} lists it")
    return files
