"""Files that appear under their name only when they are whole, and that are known to be whole when they are read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

PARTIAL = ".partial-"  # begins the name of a file that is being written
_MARK = b"sha256:"  # stands before a file's digest of itself, in which the digest's own place counts as zeros
_ZEROS = b"0" * 64
_FULL = {errno.ENOSPC: "is full", errno.EDQUOT: "has no quota left for you", errno.EROFS: "is read-only"}
_MAX_NAME = 60  # characters of a plain name
_KEPT = "what was written before is kept, and the same command goes on from there"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """write(partial) fills a file beside `path`, which then takes its name: a reader sees the old or the new, never half.

    A file that shares its content by a hard link keeps that content. UserError where the disk takes no more.
    """
    with _taking_the_place_of(path) as partial:
        write(Path(partial))


def write_bytes(path: Path, data: bytes) -> None:
    with _taking_the_place_of(path) as partial, open(partial, "wb") as file:
        file.write(data)


@contextlib.contextmanager
def _taking_the_place_of(path: Path) -> Iterator[str]:
    """The name of a file beside `path` that is to be written, and then takes its name."""
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    partial = f"{folder}/{PARTIAL}{secrets.token_hex(8)}{os.path.splitext(name)[1]}"
    with disk_errors(path):
        try:
            if not os.path.isdir(folder):  # asked for beforehand: each library has an error of its own where the folder is missing
                os.makedirs(folder, exist_ok=True)
            yield partial
            try:
                os.replace(partial, path)
            except IsADirectoryError:  # damage: the file's place is taken, and what lies there is not ours to delete
                os.replace(path, tempfile.mkdtemp(dir=folder, prefix=f"{name}.was-a-folder-"))
                os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the system says while `path` is written into a UserError that names the file and its disk."""
    try:
        yield
    except OSError as error:
        disk = path.absolute()
        while not (disk.exists() and os.path.ismount(disk)):
            disk = disk.parent
        reason = _FULL.get(error.errno or 0, f"does not take it ({error.strerror or error})")
        raise UserError(f"{path}: cannot be written: the disk at {disk} {reason}; {_KEPT}") from error


def full_disk(error: OSError) -> str | None:
    """What to tell of an error that came up anywhere, where it says that a disk takes no more; None where it says something else."""
    if error.errno not in _FULL:
        return None
    return f"{error.filename or 'a file'}: cannot be written: its disk {_FULL[error.errno]}; {_KEPT}"


def check_regular(path: Path, or_folder: bool = False) -> None:
    """UserError where something else is in a file's place: a FIFO would wait for ever, a device never end."""
    if path.exists() and not (path.is_file() or (or_folder and path.is_dir())):
        raise UserError(f"{path}: is no regular file")


def plain_name(text: str) -> str:
    """`text` as the name of a suite, a folder or a file: letters, digits, dots, dashes and underscores."""
    return re.sub(r"^[^A-Za-z0-9]+", "", re.sub(r"[^A-Za-z0-9._-]+", "-", text))[:_MAX_NAME] or "suite"


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """`data` with its checksum; numbers that JSON does not know (NaN, infinities) become null."""
    text = json.dumps({"checksum": (_MARK + _ZEROS).decode(), **without_nan(data)}, ensure_ascii=False, indent=1, allow_nan=False)

    def write(partial: Path) -> None:
        partial.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")  # a lone surrogate becomes JSON's own escape
        _stamp(partial)

    write_atomically(path, write)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """What `write_json` wrote, without the checksum; UserError names the file, what is wrong with it, and `remedy`."""
    with _damage(path, remedy):
        _verify(path)
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("holds no JSON object")
        del data["checksum"]
        return data


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """A parquet file with its checksum; `options` of pyarrow.parquet.write_table."""
    import pyarrow.parquet as pq

    stamped = table.replace_schema_metadata({**(table.schema.metadata or {}), b"checksum": _MARK + _ZEROS})

    def write(partial: Path) -> None:
        pq.write_table(stamped, partial, **options)
        _stamp(partial)

    write_atomically(path, write)


def read_table(path: Path, remedy: str) -> pa.Table:
    """What `write_table` wrote; UserError names the file, what is wrong with it, and `remedy`."""
    import pyarrow.parquet as pq

    with _damage(path, remedy):
        _verify(path)
        return pq.read_table(path)


def without_nan(value: Any) -> Any:
    """`value` with None for every number that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value


@contextlib.contextmanager
def _damage(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or str(error).splitlines()[0]}; {remedy}") from error
    except (ValueError, KeyError, RecursionError) as error:  # pyarrow's errors are ValueErrors, as those of JSON and UTF-8
        raise UserError(f"{path}: damaged: {str(error).splitlines()[0] if str(error) else 'unreadable'}; {remedy}") from error


def _stamp(path: Path) -> None:
    with path.open("r+b") as file:
        place = _place(file)
        digest = _digest(file, place)
        file.seek(place)
        file.write(digest)


def _verify(path: Path) -> None:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("is no regular file")  # a FIFO would wait for ever
    with path.open("rb") as file:
        place = _place(file)
        file.seek(place)
        told = file.read(len(_ZEROS))
        if told != _digest(file, place):
            raise ValueError("its checksum does not fit")


def _place(file: BinaryIO) -> int:
    """Where the digest stands: near the beginning of JSON, in a parquet file's footer."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = 0
    if file.read(4) == b"PAR1":
        file.seek(max(size - 8, 0))
        start = max(size - 8 - int.from_bytes(file.read(4), "little"), 0)
    file.seek(start)
    found = file.read(256 if start == 0 else size).find(_MARK)
    if found < 0:
        raise ValueError("it is empty" if size == 0 else "it holds no checksum, or is of an older version")
    return start + found + len(_MARK)


def _digest(file: BinaryIO, place: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    digest.update(file.read(place) + _ZEROS)
    file.seek(place + len(_ZEROS))
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest().encode()
