"""Records on disk: a journal that survives kill -9, and the parquet that reports read."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from bench.errors import UserError
from bench.files import disk_errors, read_json, read_table, write_atomically, write_json, write_table
from bench.record import CODEC, FACTS, Column, MetricInfo, Record, Score, detail_column, reasons_text
from bench.run import journal
from bench.run.journal import Addition, Journal

SCHEMA = 2  # of run.json, records.parquet and baselines
RECORDS, RUN, POINTS = "records.parquet", "run.json", "points.json"
_LABELS = ("codec", "checkpoint", "kind", "family", "point", "dataset", "utterance", "speaker")  # what a suite calls a record
_AGAIN = "run the suite again, which makes the file anew from the journal"
_KEY_SHOWN = 12  # characters of a key in a file's name
_PATH_BYTES, _FOLDER_BYTES = 200, 36  # of a file's path within the run's folder, and of each of its folders' names


class Store:
    """The folder of one run. Each process that writes has a journal of its own, so machines on a shared disk never meet.

    warnings   what is to be told of journals that could not be read whole
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._known: dict[str, Addition] = {}
        for path in journal.names(folder):
            for _, addition in self._read(path):
                self._add(addition)
        self._elsewhere: dict[str, tuple[Path, Addition]] | None = None
        self._journal: Journal | None = None

    def get(self, key: str) -> Record | None:
        """What is known of `key`; taken over, with its files, from another run beside this one if it was computed there."""
        if key not in self._known:
            folder, addition = self._other_runs().get(key, (None, None))
            if folder is not None and addition is not None and (record := addition.record) is not None:
                self._link_files(folder, record)
                self.add(record)
        return self._known[key].record if key in self._known else None

    def add(self, record: Record) -> None:
        """What was known of record.key, and this; on disk when it returns. A score takes the place of a failure of its column."""
        self._append(Addition.of(record))

    def add_scores(
        self, key: str, scores: Mapping[str, Score], failures: Mapping[str, str], not_applicable: Mapping[str, str]
    ) -> None:
        """As `add`, of a record whose facts are known: the line repeats none of them."""
        self._append(Addition(key, scores=scores, failures=failures, not_applicable=not_applicable))

    def replace(self, record: Record) -> None:
        """Forgets what was known of record.key, and knows this in its place."""
        self._append(Addition.of(record, fresh=True))

    def finish(self, blanks: Iterable[Record], columns: Sequence[Column]) -> pd.DataFrame:
        """Rows of `blanks` whose keys are known, in that order and under the blanks' labels, written as the parquet that reports read."""
        rows = []
        for blank in blanks:
            if (known := self.get(blank.key)) is not None:
                rows.append(dataclasses.replace(known, **{name: getattr(blank, name) for name in _LABELS}))
        import pyarrow as pa

        frame = to_frame(rows, columns)
        write_table(self.folder / RECORDS, pa.Table.from_pandas(frame, preserve_index=False))
        return frame

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
        write_atomically(self.folder / name, lambda partial: partial.write_bytes(data))

    def read_file(self, name: str) -> bytes | None:
        """None where there is none. UserError where there is one that cannot be read."""
        path = self.folder / name
        try:
            return path.read_bytes() if name else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error

    def _append(self, addition: Addition) -> None:
        addition = _finite(addition)
        if self._journal is None:
            self._journal = Journal(self.folder)
        try:
            self._journal.append(addition)
        except UserError:
            self._journal = None
            raise
        self._add(addition)

    def _add(self, addition: Addition) -> None:
        known = self._known.get(addition.key)
        self._known[addition.key] = addition if known is None else known.then(addition)

    def _read(self, path: Path) -> list[tuple[int, Addition]]:
        found, told = journal.read(path)
        self.warnings += told
        return found

    def _other_runs(self) -> dict[str, tuple[Path, Addition]]:
        if self._elsewhere is None:
            self._elsewhere = {}
            here = self.folder.resolve()
            for folder in sorted(path.parent for path in self.folder.parent.glob("*/journal")):
                if folder.resolve() != here:
                    for path in journal.names(folder):
                        for _, addition in self._read(path):
                            _, known = self._elsewhere.get(addition.key, (folder, None))
                            self._elsewhere[addition.key] = (folder, addition if known is None else known.then(addition))
        return self._elsewhere

    def _link_files(self, folder: Path, record: Record) -> None:
        for name in (record.audio_file, record.stream_file):
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


def audio_name(key: str, codec: str, point: str, dataset: str, utterance: str) -> str:
    """Path of the decoded audio within a run's folder; of this key and these labels alone."""
    return _file_name("audio", ".flac", key, codec, point, dataset, utterance)


def stream_name(key: str, codec: str, point: str, dataset: str, utterance: str) -> str:
    """Path of the packed stream within a run's folder; of this key and these labels alone."""
    return _file_name("streams", ".bin", key, codec, point, dataset, utterance)


def _file_name(kind: str, suffix: str, key: str, *labels: str) -> str:
    """Labels in letters of any script that any file system takes. What they have lost by that, the digest of them as they are keeps.

    At most 200 bytes, each name of a folder at most 36.
    """
    exact = "\0".join((key, *labels)).encode("utf-8", "surrogatepass")
    tag = f"-{_shortened(_safe(key), _KEY_SHOWN)}-{hashlib.sha256(exact).hexdigest()[:8]}{suffix}"
    *folders, utterance = labels
    place = "/".join((kind, *(_shortened(_safe(folder), _FOLDER_BYTES).strip(" .") or "_" for folder in folders)))
    return f"{place}/{_shortened(_safe(utterance), _PATH_BYTES - len(f'{place}/{tag}'.encode()))}{tag}"


def _safe(text: str) -> str:
    """Letters, marks and digits of any script stay, and a few signs; a name never begins with a dot or a dash."""
    kept = (char if unicodedata.category(char)[0] in "LMN" or char in "._@+-" else "_" for char in unicodedata.normalize("NFC", text))
    return "".join(kept).lstrip(".-") or "_"


def _shortened(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


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
    """The metrics' facts as run.json keeps them."""
    fields = {field.name for field in dataclasses.fields(MetricInfo)}
    infos = {}
    for name, facts in about["metrics"].items():
        kept = {key: value for key, value in facts.items() if key in fields}
        kept["languages"] = tuple(kept["languages"]) if kept["languages"] is not None else None
        infos[name] = MetricInfo(**kept)
    return infos


def to_frame(records: Sequence[Record], columns: Sequence[Column]) -> pd.DataFrame:
    """One row a record: its facts, a column a metric (null where there is no score), and the scores' details."""
    rows = []
    asked = [Column(CODEC, CODEC), *columns]
    for record in records:
        row = {name: getattr(record, name) for name in FACTS}
        for column in columns:
            score = record.scores.get(column.key)
            row[column.name] = math.nan if score is None else score.value
            for name, value in (score.details if score else {}).items():
                row[detail_column(column.name, name)] = value
        for reasons in ("failures", "not_applicable"):
            told = getattr(record, reasons)
            row[reasons] = reasons_text({column.name: told[column.key] for column in asked if column.key in told})
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else [*FACTS, *(column.name for column in columns), "failures", "not_applicable"])


def _finite(addition: Addition) -> Addition:
    """A score that is no number is a failure of its column, and never a score."""
    wrong = {name: f"the metric gave {score.value}" for name, score in addition.scores.items() if not math.isfinite(score.value)}
    if not wrong:
        return addition
    scores = {name: score for name, score in addition.scores.items() if name not in wrong}
    return dataclasses.replace(addition, scores=scores, failures={**addition.failures, **wrong})
