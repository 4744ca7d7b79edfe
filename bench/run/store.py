"""Records on disk: an append-only journal that survives kill -9, and the parquet that reports read."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import UserError
from bench.files import write_atomically
from bench.record import CODEC, MetricInfo, Record, Score

SCHEMA = 1
RECORDS, RUN, POINTS = "records.parquet", "run.json", "points.json"
_SCALARS = [f.name for f in dataclasses.fields(Record) if f.name not in {"scores", "failures", "not_applicable"}]


class Store:
    """The folder of one run. Each process that writes has a journal of its own, so machines on a shared disk never meet.

    A line of the journal is a record with the scores that were computed then; lines of one key add up.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: dict[str, Record] = {}
        for journal in sorted((folder / "journal").glob("*.jsonl")):
            for record in _read_journal(journal):
                self._add(record)
        self._elsewhere: dict[str, tuple[Path, Record]] | None = None
        self._file: int | None = None

    def get(self, key: str) -> Record | None:
        """What is known of `key`; taken over, with its files, from another run beside this one if it was computed there."""
        if key not in self._records:
            folder, record = self._other_runs().get(key, (None, None))
            if folder is not None and record is not None:
                for name in filter(None, (record.audio_file, record.stream_file)):
                    _link(folder / name, self.folder / name)
                self.append(record)
        return self._records.get(key)

    def append(self, record: Record) -> None:
        """On disk when this returns: one whole line by one write, so that a kill can tear at most the last one."""
        if self._file is None:
            journal = self.folder / "journal" / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
            journal.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self._file, (json.dumps(dataclasses.asdict(record), ensure_ascii=False) + "\n").encode())
        self._add(record)

    def finish(self, records: Sequence[Record], columns: Mapping[str, str]) -> pd.DataFrame:
        """Writes `records`, in that order, as the parquet that reports read; returns them."""
        frame = to_frame(records, columns)
        write_atomically(self.folder / RECORDS, lambda path: frame.to_parquet(path, index=False))
        return frame

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        text = json.dumps(data, ensure_ascii=False, indent=1)
        write_atomically(self.folder / name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def _add(self, record: Record) -> None:
        known = self._records.get(record.key)
        self._records[record.key] = record if known is None else _merge(known, record)

    def _other_runs(self) -> dict[str, tuple[Path, Record]]:
        if self._elsewhere is None:
            self._elsewhere = {}
            for journal in sorted(self.folder.parent.glob("*/journal/*.jsonl")):
                folder = journal.parent.parent
                if folder.resolve() != self.folder.resolve():
                    for record in _read_journal(journal):
                        _, known = self._elsewhere.get(record.key, (folder, None))
                        self._elsewhere[record.key] = (folder, record if known is None else _merge(known, record))
        return self._elsewhere


def read_run(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Records and run.json of a finished run; UserError where the folder holds none or one of another schema."""
    if not (folder / RECORDS).is_file() or not (folder / RUN).is_file():
        raise UserError(f"{folder}: no finished run (no {RECORDS} and {RUN}); make one with: bench run SUITE.yaml --out {folder}")
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    if run.get("schema") != SCHEMA:
        raise UserError(f"{folder / RUN}: schema {run.get('schema')}, this version reads {SCHEMA}; run the suite again")
    return pd.read_parquet(folder / RECORDS), run


def metrics_of(about: dict[str, Any]) -> dict[str, MetricInfo]:
    """The metrics' facts as run.json keeps them."""
    fields = {field.name for field in dataclasses.fields(MetricInfo)}
    infos = {}
    for name, facts in about["metrics"].items():
        kept = {key: value for key, value in facts.items() if key in fields}
        kept["languages"] = tuple(kept["languages"]) if kept["languages"] is not None else None
        infos[name] = MetricInfo(**kept)
    return infos


def to_frame(records: Sequence[Record], columns: Mapping[str, str]) -> pd.DataFrame:
    """One row a record: its fields, a column a metric (null where there is no score), and the scores' details.

    columns   metric -> the key of its scores in a record: the metric with its version and options
    """
    rows = []
    for record in records:
        row = {name: getattr(record, name) for name in _SCALARS}
        for name, key in columns.items():
            score = record.scores.get(key)
            row[name] = float("nan") if score is None else score.value
            for detail, value in (score.details if score else {}).items():
                row[f"{name}:{detail}"] = value
        for told in ("failures", "not_applicable"):
            reasons = getattr(record, told)
            asked = {CODEC: CODEC, **columns}
            row[told] = json.dumps({name: reasons[key] for name, key in asked.items() if key in reasons}, ensure_ascii=False)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else [*_SCALARS, *columns, "failures", "not_applicable"])


def _merge(old: Record, new: Record) -> Record:
    """What was known, with what the newer line adds; a reason goes when a score has come in its place."""
    scores = {**old.scores, **new.scores}
    failures = {name: reason for name, reason in {**old.failures, **new.failures}.items() if name not in scores}
    if CODEC not in new.failures:
        failures.pop(CODEC, None)
    base = old if CODEC in new.failures else new
    return dataclasses.replace(base, scores=scores, failures=failures, not_applicable={**old.not_applicable, **new.not_applicable})


def _read_journal(path: Path) -> list[Record]:
    """Records of a journal; a last line without its end was torn by a kill and counts as not written."""
    *lines, _torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: damaged journal line ({error.msg}); delete that line and run again") from None
        row["scores"] = {name: Score(**score) for name, score in row["scores"].items()}
        records.append(Record(**row))
    return records


def _link(source: Path, target: Path) -> None:
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)
