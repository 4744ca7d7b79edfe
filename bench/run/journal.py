"""The journal of a run: JSON lines, each with its schema number and checksum, each adding to what is known of one key."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import re
import socket
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bench.files import disk_errors, without_nan
from bench.record import CODEC, FACTS, Record, Score

SCHEMA = 2
SUFFIX = ".jsonl"
_DEFAULTS = {each.name: each.default for each in dataclasses.fields(Record) if each.default is not dataclasses.MISSING}
_HEAD = re.compile(rb'\{"crc":"([0-9a-f]{8})",(?="schema":(\d+),)')
_BEGUN = re.compile(r"-(\d+)\.jsonl$")
_HEAD_BYTES = len('{"crc":"00000000",')
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Addition:
    """What one line adds to the knowledge of a key; also, what several lines of a key add up to.

    fresh    forgets what earlier lines said
    facts    the record without its scores and reasons; None where only those are added
    """

    key: str
    fresh: bool = False
    facts: Record | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    not_applicable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record, fresh: bool = False) -> Addition:
        return cls(record.key, fresh, record, record.scores, record.failures, record.not_applicable)

    @property
    def record(self) -> Record | None:
        if self.facts is None:
            return None
        return dataclasses.replace(self.facts, scores=self.scores, failures=self.failures, not_applicable=self.not_applicable)

    def then(self, later: Addition) -> Addition:
        """This, and what came later. Decoded beats not decoded; a score beats a reason why there is none, and else the later wins."""
        if later.fresh:
            return later
        decoded = later.facts is not None and later.facts.sample_rate > 0
        facts = later.facts if decoded or self.facts is None or (later.facts and not self.facts.sample_rate) else self.facts
        if not (self.scores or self.failures or self.not_applicable):
            return dataclasses.replace(later, fresh=self.fresh, facts=facts)
        scores = {**self.scores, **later.scores}
        mended = decoded or bool(later.scores)  # a codec that failed before works now
        failures = {
            name: reason
            for name, reason in self.failures.items()
            if name not in scores and name not in later.not_applicable and not (name == CODEC and mended)
        } | {name: reason for name, reason in later.failures.items() if name not in scores}
        not_applicable = {
            name: reason for name, reason in self.not_applicable.items() if name not in scores and name not in later.failures
        } | {name: reason for name, reason in later.not_applicable.items() if name not in scores}
        return Addition(self.key, self.fresh, facts, scores, failures, not_applicable)


def encode(addition: Addition) -> bytes:
    """The line, its end included."""
    body: dict[str, Any] = {"schema": SCHEMA, "key": addition.key}
    if addition.fresh:
        body["fresh"] = True
    if (facts := addition.facts) is not None:
        body["facts"] = {name: value for name in FACTS if (value := getattr(facts, name)) != _DEFAULTS.get(name) and name != "key"}
    if addition.scores:
        body["scores"] = {name: [score.value, dict(score.details)] for name, score in addition.scores.items()}
    if addition.failures:
        body["failures"] = dict(addition.failures)
    if addition.not_applicable:
        body["not_applicable"] = dict(addition.not_applicable)
    try:
        text = _ENCODER.encode(body)
    except ValueError:  # a number that JSON does not know
        text = _ENCODER.encode(without_nan(body))
    try:
        checked = text[1:].encode()
    except UnicodeEncodeError:  # bytes of another encoding, in the name of a file: told by an escape
        checked = re.sub("[\ud800-\udfff]", lambda found: f"\\\\u{ord(found[0]):04x}", text[1:]).encode()
    return b'{"crc":"%08x",%s\n' % (zlib.crc32(checked), checked)


class Unfit(ValueError):
    """Why a line is passed over."""


def decode(line: bytes) -> Addition:
    """What a line without its end says; Unfit where this version cannot know it."""
    head = _HEAD.match(line)
    if head is None or int(head[1], 16) != zlib.crc32(line[_HEAD_BYTES:]):
        raise Unfit(_why(line))
    if int(head[2]) != SCHEMA:
        raise Unfit(_of_schema(int(head[2])))
    try:
        body = json.loads(line)
        facts = body.get("facts")
        return Addition(
            body["key"],
            body.get("fresh", False),
            None if facts is None else Record(key=body["key"], **{name: _number(value) for name, value in facts.items()}),
            {name: Score(_number(value), details) for name, (value, details) in body.get("scores", {}).items()},
            body.get("failures", {}),
            body.get("not_applicable", {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unfit("holds other fields than this version's") from None


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _why(line: bytes) -> str:
    """The reason why a line without a checksum that fits is passed over."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return "is damaged"
    if not isinstance(body, dict) or "crc" in body or body.get("schema") == SCHEMA:
        return "is damaged"
    return _of_schema(body.get("schema", 1))


def _of_schema(schema: object) -> str:
    age = "a newer" if isinstance(schema, int) and schema > SCHEMA else "an older"
    return f"was written by {age} version (schema {schema}, this one reads {SCHEMA})"


def read(path: Path) -> tuple[list[tuple[int, Addition]], list[str]]:
    """Every line of a journal that fits, with the place of its first byte; and what is to be told of those that do not.

    A last line without its end is being written, or was torn by a kill: it is not there yet, and is not told.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror}), and is passed over"]
    found: list[tuple[int, Addition]] = []
    unfit: dict[str, list[int]] = {}
    place = 0
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        if line:
            try:
                found.append((place, decode(line)))
            except Unfit as reason:
                unfit.setdefault(str(reason), []).append(number)
        place += len(line) + 1
    return found, [_told(path, reason, numbers) for reason, numbers in unfit.items()]


def _told(path: Path, reason: str, numbers: list[int]) -> str:
    more = f", as are {len(numbers) - 1} more of its lines" if len(numbers) > 1 else ""
    return f"{path}:{numbers[0]}: {reason}; the line is passed over{more}"


def names(folder: Path) -> list[Path]:
    """The journals of a run's folder, in the order in which they were begun."""
    try:
        found = [path for path in (folder / "journal").iterdir() if path.suffix == SUFFIX and not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(found, key=lambda path: (int(begun[1]) if (begun := _BEGUN.search(path.name)) else 0, path.name))


def is_written_to(path: Path) -> bool:
    """Whether the process that writes a journal may live; where the file system knows no locks, all may."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


class Journal:
    """The file to which this process alone appends; others may read it meanwhile. It appears with its first line."""

    def __init__(self, folder: Path) -> None:
        host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
        self.path = folder / "journal" / f"{host}-{os.getpid()}-{time.time_ns()}{SUFFIX}"
        self.size = 0
        self._torn = False  # part of a line stands at the end, and could not be taken back
        self._file: BinaryIO | None = None

    def append(self, addition: Addition) -> int:
        """The place of the line, which is whole in the file (though not yet on the platter) when this returns.

        UserError where the disk takes no more; what it took of the line is taken back.
        """
        line = encode(addition)
        with disk_errors(self.path):
            if self._file is None:
                self._file = self._open()
            file = self._file.fileno()
            place = self.size
            if self._torn:
                place = os.fstat(file).st_size + 1
                line = b"\n" + line
            try:
                written = 0
                while written < len(line):
                    written += os.write(file, line[written:])
            except BaseException:
                try:
                    os.ftruncate(file, self.size)
                except OSError:
                    self._torn = True
                raise
            self._torn = False
        self.size = place + len(line.lstrip(b"\n"))
        return place

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "ab", buffering=0)  # noqa: SIM115
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that its writer lives
        return file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
