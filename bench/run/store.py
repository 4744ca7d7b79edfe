"""Records on disk: a journal that survives kill -9, and the parquet that reports read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import math
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.errors import UserError
from bench.files import disk_errors, read_json, read_table, write_atomically, write_bytes, write_json, write_table
from bench.record import CODEC, FACTS, Column, MetricInfo, Record, Score, detail_column, leading, reasons_text
from bench.run import journal
from bench.run.columns import FAILURE, INAPPLICABLE, VALUE, Columns, array, column_name, outcomes, plain
from bench.run.index import OtherRuns, stamp_of, write_index
from bench.run.journal import Addition, Journal

SCHEMA = 2  # of run.json, records.parquet and baselines
RECORDS, RUN, POINTS = "records.parquet", "run.json", "points.json"
_LABELS = ("codec", "checkpoint", "kind", "family", "point", "dataset", "utterance", "speaker")  # what a suite calls a record
_FILES = ("audio_file", "stream_file")
_AGAIN = "run the suite again, which makes the file anew from the journal"
_MAX_LINES, _MAX_BYTES = 8192, 1 << 24  # of a journal, after which another is begun
_BATCH = 1 << 16  # rows that are put together at a time
_KEY_SHOWN = 12  # characters of a key in a file's name
_SIGNS = re.compile(r"[^A-Za-z0-9._@+-]")  # that a name does not keep
_PATH_BYTES, _FOLDER_BYTES = 200, 36  # of a file's path within the run's folder, and of each of its folders' names


class Store:
    """The folder of one run. Each process that writes has a journal of its own, so machines on a shared disk never meet.

    Where a journal ends, its lines of one key become one, and its records go from objects to columns.

    warnings   what is to be told of journals that could not be read whole
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._columns = Columns(folder, self.warnings.append)
        self._journal: Journal | None = None
        self._recent: dict[str, Addition] = {}  # what the journal says
        self._places: list[int] = []  # of its lines
        self._other_runs: OtherRuns | None = None

    def count(self) -> int:
        """Keys of which anything is known."""
        return self._columns.count(self._recent)

    def get(self, key: str) -> Record | None:
        """What is known of `key`; taken over, with its files, from runs beside this one where it was computed there."""
        known = self._known(key)
        if (known is None or known.facts is None) and self._take_over(key):
            known = self._known(key)
        return known.record if known is not None else None

    def add(self, record: Record) -> None:
        """What was known of record.key, and this; on disk when it returns. A score takes the place of a failure of its column."""
        self._append(Addition.of(record))

    def add_scores(self, key: str, scores: Mapping[str, Score], failures: Mapping[str, str], not_applicable: Mapping[str, str]) -> None:
        """As `add`, of a record whose facts are known: the line repeats none of them."""
        self._append(Addition(key, scores=scores, failures=failures, not_applicable=not_applicable))

    def replace(self, record: Record) -> None:
        """Forgets what was known of record.key, and knows this in its place."""
        self._append(Addition.of(record, fresh=True))

    def finish(self, blanks: Iterable[Record], columns: Sequence[Column]) -> pd.DataFrame:
        """Rows of `blanks` whose keys are known, in that order and under the blanks' labels, written as the parquet that reports read."""
        self.close()  # what is in memory becomes columns once
        rest = iter(blanks)
        parts = [self._rows([], columns)]
        while batch := list(itertools.islice(rest, _BATCH)):
            parts.append(self._rows(batch, columns))
        table = pa.concat_tables(parts, promote_options="default")
        write_table(self.folder / RECORDS, table)
        self.close()
        return table.to_pandas()

    def close(self) -> None:
        """Ends this process's journal in its shortest form. What is added later begins another; without it nothing is lost but speed."""
        ended, self._journal = self._journal, None
        if ended is None:
            return
        ended.close()
        additions, places = list(self._recent.values()), self._places
        self._recent, self._places = {}, []
        with contextlib.suppress(UserError):  # a full disk: the lines are there, and only longer and slower to read
            if len(additions) < len(places):
                lines = [journal.encode(addition) for addition in additions]
                write_bytes(ended.path, b"".join(lines))
                places = [0, *itertools.accumulate(map(len, lines))][:-1]
            if (stamp := stamp_of(ended.path)) is not None:
                write_index(ended.path, stamp, zip(places, additions, strict=True))
        stamp = stamp_of(ended.path)
        self._columns.add(additions, [stamp] if stamp else [])

    def about(self) -> dict[str, Any] | None:
        """run.json; None where there is none, or none that can be read."""
        try:
            return read_json(self.folder / RUN, _AGAIN)
        except UserError:
            return None

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        write_json(self.folder / name, data)

    def write_file(self, name: str, data: bytes) -> None:
        """A new file, whole or not at all; what another run shares under that name by a hard link stays as it is there."""
        write_bytes(self.folder / name, data)

    def read_file(self, name: str) -> bytes | None:
        """None where there is none. UserError where there is one that cannot be read."""
        if not name:
            return None
        try:
            with open(self.folder / name, "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{self.folder / name}: cannot be read: {error.strerror}") from error

    def _append(self, addition: Addition) -> None:
        addition = _settled(addition)
        if self._journal is None:
            self._journal = Journal(self.folder)
        self._places.append(self._journal.append(addition))
        known = self._recent.get(addition.key)
        self._recent[addition.key] = addition if known is None else known.then(addition)
        if len(self._places) >= _MAX_LINES or self._journal.size >= _MAX_BYTES:
            self.close()

    def _known(self, key: str) -> Addition | None:
        known, recent = self._columns.find(key), self._recent.get(key)
        return recent if known is None else known if recent is None else known.then(recent)

    def _take_over(self, key: str) -> bool:
        """Whether another run knows `key`."""
        if self._other_runs is None:
            self._other_runs = OtherRuns(self.folder, self.warnings.append)
        found = self._other_runs.find(key)
        for run, record in found:
            self._link_files(run, record)
            self.add(record)
        return bool(found)

    def _rows(self, blanks: Sequence[Record], columns: Sequence[Column]) -> pa.Table:
        """The rows of the table that reports read."""
        keys = [blank.key for blank in blanks]
        known, found = self._look_up(keys)
        if any([self._take_over(key) for key, row in zip(keys, found, strict=True) if row < 0]):
            known, found = self._look_up(keys)
        known = known.take(pa.array(found[found >= 0]))
        named = {name: [getattr(blank, name) for blank, row in zip(blanks, found, strict=True) if row >= 0] for name in (*_LABELS, *_FILES)}
        table = {name: array(named[name], pa.string()) if name in _LABELS else plain(known[name]) for name in FACTS}
        for name in _FILES:
            table[name] = array(map(self._name_of, table[name].to_pylist(), named[name]), pa.string())
        of = outcomes(known)
        for column in columns:
            table[column.name] = pa.nulls(len(known), pa.float64())
            for name in of.get(column.key, []):
                kind, _, *part = name.split("\t")
                if kind == VALUE:
                    table[column.name] = known[name]
                elif part and known[name].null_count < len(known):
                    table[detail_column(column.name, *part)] = known[name]
        asked = [Column(CODEC, CODEC), *columns]
        for reasons, kind in (("failures", FAILURE), ("not_applicable", INAPPLICABLE)):
            table[reasons] = _cells(known, [(column.name, column_name(kind, column.key)) for column in asked])
        return pa.table(table)

    def _look_up(self, keys: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
        """What is known of `keys`, and the row of each in it, int64 [len(keys)]; -1 where there is none."""
        known = self._columns.rows(keys, [self._recent[key] for key in keys if key in self._recent])
        known = known.filter(known["codec"].is_valid())
        return known, pd.Index(known["key"].to_pylist()).get_indexer(keys)

    def _name_of(self, known: str, wanted: str) -> str:
        """The name of a file in this suite: what another suite, or another label, called otherwise gets a second name."""
        if known in ("", wanted) or not wanted:
            return known
        link(self.folder / known, self.folder / wanted)
        return wanted if (self.folder / wanted).exists() else known

    def _link_files(self, folder: Path, record: Record) -> None:
        for name in (getattr(record, file) for file in _FILES):
            path = PurePosixPath(name)
            if name and not path.is_absolute() and ".." not in path.parts:
                link(folder / name, self.folder / name)


def link(source: Path, target: Path) -> None:
    """A second name for a file where there is none of that name: by a hard link, or across file systems by a copy."""
    if not source.is_file() or target.exists():
        return
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            write_atomically(target, lambda partial: shutil.copyfile(source, partial))


def file_names(key: str, codec: str, point: str, dataset: str, utterance: str) -> tuple[str, str]:
    """Paths of the decoded audio and the packed stream within a run's folder; of this key and these labels alone.

    Labels in letters of any script that any file system takes. What they have lost by that, the digest of them as they are keeps.
    At most 200 bytes, each name of a folder at most 36.
    """
    exact = "\0".join((key, codec, point, dataset, utterance)).encode("utf-8", "surrogatepass")
    tag = f"-{_shortened(_safe(key), _KEY_SHOWN)}-{hashlib.sha256(exact).hexdigest()[:8]}"
    folders = _folders(codec, point, dataset)
    name = _shortened(_safe(utterance), _PATH_BYTES - len(f"streams/{folders}/{tag}.flac".encode())) + tag
    return f"audio/{folders}/{name}.flac", f"streams/{folders}/{name}.bin"


@functools.lru_cache(maxsize=1024)
def _folders(*labels: str) -> str:
    return "/".join(_shortened(_safe(label), _FOLDER_BYTES).strip(" .") or "_" for label in labels)


def _safe(text: str) -> str:
    """Letters, marks and digits of any script stay, and a few signs; a name never begins with a dot or a dash."""
    if text.isascii():
        return _SIGNS.sub("_", text).lstrip(".-") or "_"
    kept = (char if unicodedata.category(char)[0] in "LMN" or char in "._@+-" else "_" for char in unicodedata.normalize("NFC", text))
    return "".join(kept).lstrip(".-") or "_"


def _shortened(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8."""
    return text[:size] if text.isascii() else text.encode()[:size].decode(errors="ignore")


def read_run(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Records and run.json of a finished run; UserError where the folder holds none, one of another schema, or one that is damaged."""
    if not (folder / RECORDS).exists() or not (folder / RUN).exists():
        raise UserError(f"{folder}: no finished run (no {RECORDS} and {RUN}); make one with: bench run SUITE.yaml --out {folder}")
    run = read_json(folder / RUN, _AGAIN)
    if run.get("schema") != SCHEMA:
        raise UserError(f"{folder / RUN}: schema {run.get('schema')}, this version reads {SCHEMA}; run the suite again")
    return read_table(folder / RECORDS, _AGAIN).to_pandas(), run


def read_points(folder: Path) -> dict[str, Any]:
    """points.json of a run: "codec@point" -> token statistics; {} where the run has none."""
    return read_json(folder / POINTS, _AGAIN) if (folder / POINTS).exists() else {}


def metrics_of(about: dict[str, Any]) -> dict[str, MetricInfo]:
    """The metrics' facts as run.json keeps them, in the order of a table's columns."""
    fields = {field.name for field in dataclasses.fields(MetricInfo)}
    infos = {}
    for name, facts in about["metrics"].items():
        kept = {key: value for key, value in facts.items() if key in fields}
        kept["languages"] = tuple(kept["languages"]) if kept["languages"] is not None else None
        infos[name] = MetricInfo(**kept)
    return leading(infos)


def _cells(known: pa.Table, columns: Sequence[tuple[str, str]]) -> pa.Array:
    """Reasons as JSON, a cell a row, of `columns`: (name in the cell, column of `known`)."""
    told: list[dict[str, str]] = [{} for _ in range(len(known))]
    for name, column in columns:
        if column in known.column_names:
            for row, reason in enumerate(known[column].to_pylist()):
                if reason is not None:
                    told[row][name] = reason
    return pa.array([reasons_text(reasons) if reasons else "{}" for reasons in told], pa.string())


def _settled(addition: Addition) -> Addition:
    """A score that is no number is a failure of its column, and never a score; and where there is a score, there is no reason for none."""
    wrong = {name: f"the metric gave {score.value}" for name, score in addition.scores.items() if not math.isfinite(score.value)}
    if not wrong and addition.scores.keys().isdisjoint(addition.failures) and addition.scores.keys().isdisjoint(addition.not_applicable):
        return addition
    scores = {name: score for name, score in addition.scores.items() if name not in wrong}
    failures = {name: reason for name, reason in addition.failures.items() if name not in scores} | wrong
    not_applicable = {name: reason for name, reason in addition.not_applicable.items() if name not in (scores | failures)}
    return dataclasses.replace(addition, scores=scores, failures=failures, not_applicable=not_applicable)
