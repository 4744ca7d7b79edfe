"""What can be made again from a journal, and is kept beside it for speed: where its lines stand, and its records in columns."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.files import write_atomically
from bench.record import FACTS, Record
from bench.run import journal
from bench.run.journal import Addition

_FORMAT = [1, journal.SCHEMA, *FACTS]  # what is kept in another form is made again
_SUFFIX = ".index"
_ROW = np.dtype([("hash", np.uint64), ("place", np.uint64), ("has", np.uint64)])
_DECODED = 1 << 63
_MAX_HEAD = 1 << 22  # bytes
_LINE = re.compile(rb'^\{"crc":"[0-9a-f]{8}","schema":%d,"key":"([^"\\]*)"' % journal.SCHEMA, re.MULTILINE)
_ANYTHING = (1 << 64) - 1

Stamp = tuple[str, int, int]  # a journal's name, size and time of change: while they stay, so does its content


def hash_of(key: str) -> int:
    """64 bits, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def stamp_of(path: Path) -> Stamp | None:
    """None where there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return path.name, stat.st_size, stat.st_mtime_ns


def write_derived(path: Path, covers: Sequence[Stamp], content: bytes | memoryview) -> None:
    """`content`, which was made from the journals `covers`."""
    head = json.dumps({"format": _FORMAT, "covers": covers, "crc": zlib.crc32(content)}).encode()

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(b"%08x%s\n" % (zlib.crc32(head), head))
            file.write(content)

    write_atomically(path, write)


def covers_of(path: Path) -> tuple[Stamp, ...]:
    """The journals that a file of `write_derived` was made from; none where it cannot be relied on."""
    try:
        with path.open("rb") as file:
            return _head(file)[0]
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def read_derived(path: Path) -> bytes | None:
    """The content of a file of `write_derived`; None where it cannot be relied on."""
    try:
        with path.open("rb") as file:
            _, crc = _head(file)
            content = file.read()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if zlib.crc32(content) == crc else None


def _head(file: BinaryIO) -> tuple[tuple[Stamp, ...], int]:
    """What the content was made from, and its checksum."""
    told, head = int(file.read(8), 16), file.readline(_MAX_HEAD)[:-1]
    body = json.loads(head)
    if told != zlib.crc32(head) or body["format"] != _FORMAT:
        raise ValueError("damaged, or of another version")
    return tuple((name, size, changed) for name, size, changed in body["covers"]), body["crc"]


# --- where the lines of a journal stand -------------------------------------------------------------------------------------------------


def write_index(path: Path, stamp: Stamp, rows: Iterable[tuple[int, Addition]]) -> None:
    """Beside the journal `path`, whose lines are `rows`."""
    write_derived(path.with_suffix(_SUFFIX), [stamp], _rows([(hash_of(each.key), place, _has(each)) for place, each in rows]).tobytes())


def _has(addition: Addition) -> int:
    """What an addition brings, in 64 bits: that audio was decoded, and a bit of each column. Two columns may share one."""
    decoded = _DECODED if addition.facts is not None and addition.facts.sample_rate else 0
    columns = 0
    for key in (*addition.scores, *addition.not_applicable):
        columns |= 1 << zlib.crc32(key.encode()) % 63
    return decoded | columns


def _rows(rows: Sequence[tuple[int, int, int]]) -> np.ndarray:
    return np.array(rows, _ROW) if rows else np.empty(0, _ROW)


def _index_of(path: Path, stamp: Stamp, warn: Callable[[str], None]) -> np.ndarray:
    """The rows of a journal; from the file beside it, or where that is of an older content, from its lines."""
    beside = path.with_suffix(_SUFFIX)
    if covers_of(beside) == (stamp,) and (kept := read_derived(beside)) is not None:
        return np.frombuffer(kept, _ROW)
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    found = list(_LINE.finditer(content, 0, content.rfind(b"\n") + 1))
    if len(found) == content.count(b"\n"):
        return _rows([(hash_of(line[1].decode()), line.start(), _ANYTHING) for line in found])
    additions, told = journal.read(path)
    for warning in told:
        warn(warning)
    return _rows([(hash_of(each.key), place, _has(each)) for place, each in additions])


class OtherRuns:
    """The runs beside one, by the keys that they know. They are read, never written to; what is damaged there is no business of ours."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._journals: list[tuple[Path, Path, Stamp]] = []  # run, journal, what it was when it was indexed
        parts: list[np.ndarray] = []
        told: list[str] = []
        for run in _runs_beside(folder):
            for path in journal.names(run):
                if (stamp := stamp_of(path)) is not None:
                    parts.append(_index_of(path, stamp, told.append))
                    self._journals.append((run, path, stamp))
        if told:
            warn(told[0] + (f"; {len(told) - 1} more journals beside this run have such lines" if told[1:] else ""))
        rows = np.concatenate(parts) if parts else _rows([])
        order = np.argsort(rows["hash"], kind="stable")
        self._rows = rows[order]
        self._of = np.repeat(np.arange(len(parts), dtype=np.uint32), [len(part) for part in parts])[order] if parts else order

    def find(self, key: str) -> list[tuple[Path, Record]]:
        """(run, what it knows of `key`): of as many runs as are needed for all that is known."""
        hashed = np.uint64(hash_of(key))
        first, end = self._rows["hash"].searchsorted(hashed, "left"), self._rows["hash"].searchsorted(hashed, "right")
        by_run: dict[Path, list[int]] = {}
        has: dict[Path, int] = {}
        for row in range(int(first), int(end)):
            run = self._journals[self._of[row]][0]
            by_run.setdefault(run, []).append(row)
            has[run] = has.get(run, 0) | int(self._rows["has"][row])
        found: list[tuple[Path, Record]] = []
        known = 0
        for run in sorted(by_run, key=lambda run: -bin(has[run]).count("1")):
            if found and not has[run] & ~known:
                continue
            addition = None
            for row in by_run[run]:
                for line in self._lines(row, key):
                    addition = line if addition is None else addition.then(line)
            if addition is not None and (record := addition.record) is not None:
                found.append((run, record))
                known |= _has(addition)
        return found

    def _lines(self, row: int, key: str) -> list[Addition]:
        _, path, stamp = self._journals[self._of[row]]
        if stamp_of(path) != stamp:  # the run goes on, and its lines may have moved
            return [each for _, each in journal.read(path)[0] if each.key == key]
        try:
            with path.open("rb") as file:
                file.seek(int(self._rows["place"][row]))
                line = journal.decode(file.readline()[:-1])
        except OSError:
            return []
        except journal.Unfit as reason:
            self._warn(f"{path}: a line {reason}; it is passed over")
            return []
        return [line] if line.key == key else []


def _runs_beside(folder: Path) -> list[Path]:
    try:
        here = os.stat(folder) if folder.exists() else None
        with os.scandir(folder.absolute().parent) as entries:
            runs = [Path(entry.path) for entry in entries if entry.is_dir() and not (here and os.path.samestat(entry.stat(), here))]
    except OSError:
        return []
    return sorted(runs)
