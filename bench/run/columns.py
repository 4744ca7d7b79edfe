"""Additions in columns: a hundred times smaller than objects, merged and looked up in bulk."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import UserError
from bench.files import PARTIAL
from bench.record import CODEC, FACTS, Record, Score
from bench.run.index import Stamp, covers_of, hash_of, read_derived, stamp_of, write_derived, write_index
from bench.run.journal import Addition, is_written_to, names, read

# Of every column key: a score's value, its details that are numbers and that are texts, and the two reasons why there is no score.
VALUE, NUMBER, TEXT, FAILURE, INAPPLICABLE = "value", "number", "text", "failure", "not_applicable"
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_TYPES = {VALUE: pa.float64(), NUMBER: pa.float64(), TEXT: pa.large_string(), FAILURE: pa.string(), INAPPLICABLE: _DICTIONARY}
_UNIQUE = ("key", "audio_file", "stream_file")  # texts that hardly come twice
_FACT_TYPES = {
    each.name: {"str": pa.string() if each.name in _UNIQUE else _DICTIONARY, "int": pa.int64(), "float": pa.float64()}[str(each.type)]
    for each in dataclasses.fields(Record)
    if each.name in FACTS
}
_SUFFIX = ".columns"
_MAX_ROWS, _MAX_BYTES = 1 << 18, 1 << 29  # of a chunk that was merged
_ABANDONED_S = 3600.0
_LABEL = "codec"  # a fact that every record has: where it is null, the row brings no facts


def column_name(kind: str, key: str, name: str = "") -> str:
    return "\t".join((kind, key, name) if name else (kind, key))


def to_table(additions: Sequence[Addition]) -> pa.Table:
    """A row an addition, in their order."""
    columns: dict[str, Any] = {
        "hash": pa.array([hash_of(each.key) for each in additions], pa.uint64()),
        "fresh": pa.array([each.fresh for each in additions], pa.bool_()),
    }
    facts = [each.facts for each in additions]
    for name, kind in _FACT_TYPES.items():
        if name == "key":
            columns[name] = array([each.key for each in additions], kind)
        else:
            columns[name] = array([None if each is None else getattr(each, name) for each in facts], kind)
    sparse: dict[str, list[Any]] = {}

    def put(row: int, value: Any, kind: str, *key: str) -> None:
        column = column_name(kind, *key)
        if column not in sparse:
            sparse[column] = [None] * len(additions)
        sparse[column][row] = value

    for row, each in enumerate(additions):
        for key, score in each.scores.items():
            put(row, score.value, VALUE, key)
            for name, value in score.details.items():
                put(row, value, TEXT if isinstance(value, str) else NUMBER, key, name)
        for key, reason in each.failures.items():
            put(row, reason, FAILURE, key)
        for key, reason in each.not_applicable.items():
            put(row, reason, INAPPLICABLE, key)
    return pa.table(columns | {name: array(values, _TYPES[name.split("\t")[0]]) for name, values in sparse.items()})


def array(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array; texts that are no Unicode (a file's name in bytes of another encoding) with escapes in place of what is none."""
    values = list(values)
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([value and value.encode("utf-8", "backslashreplace").decode() for value in values], kind)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as they are, in place of their numbers in a dictionary."""
    return column.cast(pa.large_string()) if pa.types.is_dictionary(column.type) else column


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """One row a key, sorted by hash: what the rows of a key add up to in their order, as `Addition.then` has it."""
    table = pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks()
    hashes = table["hash"].to_numpy()
    order = np.lexsort((pd.factorize(table["key"].to_numpy())[0], hashes))
    keys = table["key"].take(pa.array(order)).combine_chunks()
    begins = np.ones(len(order), bool)
    begins[1:] = ~np.asarray(pc.equal(keys[1:], keys[:-1]))
    group = np.cumsum(begins) - 1
    count = int(begins.sum())
    if count == len(order):
        return table.take(pa.array(order)).combine_chunks()

    def last(which: np.ndarray) -> np.ndarray:
        """The last place in `order` of each group at which `which` (bool, by place) holds; -1 where there is none: int64 [count]."""
        places = np.flatnonzero(which)
        of = group[places]
        ends = np.append(of[1:] != of[:-1], True)[: len(of)]
        found = np.full(count, -1)
        found[of[ends]] = places[ends]
        return found

    def valid(name: str) -> np.ndarray:
        """bool, by place."""
        if name not in table.column_names:
            return np.zeros(len(order), bool)
        return np.asarray(table[name].is_valid())[order] & alive

    def rows(places: np.ndarray) -> pa.Array:
        return pa.array(order[places], mask=places < 0)

    fresh = last(np.asarray(table["fresh"])[order])
    alive = np.arange(len(order)) >= fresh[group]
    decoded = np.asarray(pc.fill_null(pc.greater(table["sample_rate"], 0), False))[order] & alive
    facts = last(decoded)
    facts = rows(np.where(facts >= 0, facts, last(valid(_LABEL))))
    first = rows(np.flatnonzero(begins))
    columns = {name: table[name].take(first if name in ("hash", "key") else facts) for name in ("hash", *FACTS)}
    columns["fresh"] = pa.chunked_array([pa.array(fresh >= 0)])

    works = decoded
    for key, parts in outcomes(table).items():
        scored = valid(column_name(VALUE, key))
        works = works | scored
        if key != CODEC:
            score = last(scored)
            reason = last(valid(column_name(FAILURE, key)) | valid(column_name(INAPPLICABLE, key)))
            chosen = rows(np.where(score >= 0, score, reason))
            columns |= {name: table[name].take(chosen) for name in parts}
    if (name := column_name(FAILURE, CODEC)) in table.column_names:
        failed = last(valid(name))
        mended = last(works & ~valid(name))
        columns[name] = table[name].take(rows(np.where(failed > mended, failed, -1)))
    return pa.table({name: columns[name] for name in table.column_names}).combine_chunks()


def outcomes(table: pa.Table) -> dict[str, list[str]]:
    """Column key -> the columns of `table` that hold its scores and reasons."""
    found: dict[str, list[str]] = {}
    for name in table.column_names:
        if "\t" in name:
            found.setdefault(name.split("\t")[1], []).append(name)
    return found


class Chunk:
    """Columns of many keys, sorted by hash, each key once."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.hashes = table["hash"].to_numpy()
        self._columns = [(name.split("\t"), table[name].chunk(0)) for name in table.column_names if len(table)]
        self._keys = table["key"]

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, key: str, hashed: int) -> Addition | None:
        place = int(self.hashes.searchsorted(np.uint64(hashed)))
        while place < len(self.hashes) and self.hashes[place] == hashed:
            if self._keys[place].as_py() == key:
                return self._addition(place)
            place += 1
        return None

    def rows(self, hashes: np.ndarray) -> pa.Table:
        """Those whose hash is in `hashes`, uint64, sorted."""
        places = np.minimum(hashes.searchsorted(self.hashes), len(hashes) - 1) if len(hashes) > len(self) else None
        if places is not None:
            return self.table.filter(pa.array(hashes[places] == self.hashes))
        first, end = self.hashes.searchsorted(hashes, "left"), self.hashes.searchsorted(hashes, "right")
        found = first[end > first]
        more = [np.arange(start + 1, stop) for start, stop in zip(first, end) if stop > start + 1]  # two keys of one hash
        return self.table.take(pa.array(np.concatenate([found, *more])))

    def _addition(self, row: int) -> Addition:
        facts: dict[str, Any] = {}
        values: dict[str, float] = {}
        details: dict[str, dict[str, float | str]] = {}
        reasons: dict[str, dict[str, str]] = {FAILURE: {}, INAPPLICABLE: {}}
        for (kind, *key), column in self._columns:
            value = column[row].as_py()
            if value is None:
                continue
            if not key:
                facts[kind] = value
            elif kind == VALUE:
                values[key[0]] = value
            elif kind in reasons:
                reasons[kind][key[0]] = value
            else:
                details.setdefault(key[0], {})[key[1]] = value
        del facts["hash"]
        return Addition(
            facts["key"],
            facts.pop("fresh"),
            Record(**facts) if _LABEL in facts else None,
            {key: Score(value, details.get(key, {})) for key, value in values.items()},
            reasons[FAILURE],
            reasons[INAPPLICABLE],
        )


class Columns:
    """All that the journals of a run say but for what is still in the memory of who writes them, in few chunks.

    A chunk is kept in a file beside the journals that it was made from, so that none of them need be read line by line again.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder / "journal"
        self._warn = warn
        self._chunks: list[_Kept] = []
        self._load(folder)

    def count(self, more: Iterable[str] = ()) -> int:
        """Different keys, with `more`."""
        hashes = [*(kept.chunk.hashes for kept in self._chunks), np.fromiter(map(hash_of, more), np.uint64)]
        return len(np.unique(np.concatenate(hashes)))

    def find(self, key: str) -> Addition | None:
        hashed = hash_of(key)
        found = None
        for kept in self._chunks:
            if (addition := kept.chunk.find(key, hashed)) is not None:
                found = addition if found is None else found.then(addition)
        return found

    def rows(self, keys: Iterable[str], recent: Sequence[Addition]) -> pa.Table:
        """What is known of `keys`, with what `recent` adds; one row a key."""
        hashes = np.unique(np.fromiter((hash_of(key) for key in keys), np.uint64))
        return merge([*(kept.chunk.rows(hashes) for kept in self._chunks), to_table(recent)])

    def add(self, additions: Sequence[Addition], covers: Sequence[Stamp]) -> None:
        """`additions`, which are all that the journals `covers` say."""
        self._chunks.append(_Kept(Chunk(merge([to_table(additions)])), tuple(covers)))
        self._settle()

    def _load(self, folder: Path) -> None:
        stamps = {path.name: stamp for path in names(folder) if (stamp := stamp_of(path)) is not None}
        rank = {name: number for number, name in enumerate(stamps)}
        found = [(path, covers_of(path)) for path in self._folder.glob(f"*{_SUFFIX}")]
        outdated: list[Path] = []
        covered: set[str] = set()
        parts: list[tuple[int, _Kept]] = []
        for path, covers in sorted(found, key=lambda each: -len(each[1])):
            of = {name for name, *_ in covers}
            fits = of and not of & covered and all(stamps.get(stamp[0]) == stamp for stamp in covers)
            if fits and (content := read_derived(path)) is not None:
                covered |= of
                table = pa.ipc.open_stream(pa.py_buffer(content)).read_all().combine_chunks()
                parts.append((min(rank[name] for name in of), _Kept(Chunk(table), covers, path)))
            elif fits or not of or of & covered or any(stamp_of(self._folder / stamp[0]) != stamp for stamp in covers):
                outdated.append(path)  # damaged, of another version, or of what is no longer there
        for name in stamps:
            if name not in covered:
                parts.append((rank[name], self._parsed(self._folder / name, stamps[name])))
        self._chunks = [kept for _, kept in sorted(parts, key=lambda part: part[0]) if len(kept.chunk) or kept.covers]
        self._settle()
        for path in (*outdated, *_abandoned(self._folder)):
            with contextlib.suppress(OSError):
                path.unlink()

    def _parsed(self, path: Path, stamp: Stamp) -> _Kept:
        additions, warnings = read(path)
        for warning in warnings:
            self._warn(warning)
        ended = not is_written_to(path)
        if ended:
            with contextlib.suppress(UserError):  # speed alone is lost
                write_index(path, stamp, additions)
        return _Kept(Chunk(merge([to_table([addition for _, addition in additions])])), (stamp,) if ended else ())

    def _settle(self) -> None:
        """Merges neighbours of like size, so that chunks are few, and each record is merged a few times only; keeps what is new."""
        merged: list[_Kept] = []
        outdated: list[Path] = []
        for kept in self._chunks:
            merged.append(kept)
            while len(merged) > 1 and merged[-2].goes_with(merged[-1]):
                parts = [merged[-2], merged[-1]]
                outdated += [part.path for part in parts if part.path is not None]
                covers = tuple(stamp for part in parts for stamp in part.covers)
                merged[-2:] = [_Kept(Chunk(merge([part.chunk.table for part in parts])), covers)]
        self._chunks = merged
        with contextlib.suppress(UserError):  # speed alone is lost
            for kept in merged:
                if kept.covers and kept.path is None:
                    path = self._folder / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}{_SUFFIX}"
                    write_derived(path, kept.covers, _stream(kept.chunk.table))
                    kept.path = path
            for path in outdated:
                path.unlink(missing_ok=True)


@dataclass
class _Kept:
    """A chunk, the journals that it is made from (none where they may still grow), and the file in which it is kept."""

    chunk: Chunk
    covers: tuple[Stamp, ...]
    path: Path | None = None

    def goes_with(self, later: _Kept) -> bool:
        alike = len(self.chunk) < 2 * len(later.chunk) or len(later.chunk) == 0
        small = len(self.chunk) + len(later.chunk) <= _MAX_ROWS and self.chunk.table.nbytes + later.chunk.table.nbytes <= _MAX_BYTES
        return bool(self.covers) == bool(later.covers) and alike and small


def _abandoned(folder: Path) -> list[Path]:
    """Files that somebody who was killed was writing."""
    return [path for path in folder.glob(f"{PARTIAL}*") if time.time() - path.stat().st_mtime > _ABANDONED_S]


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())
