"""A JSONL manifest and the files it lists: read, checked, its mistakes named by line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import audio
from bench.dataset import Dataset, Entry
from bench.errors import UserError
from bench.language import Tag

_MISTAKES_SHOWN = 20


def problems(dataset: Dataset) -> list[str]:
    """Every file that is missing, unreadable, empty or not as its manifest says, and every id that comes twice; headers only."""
    found = []
    for entry in dataset.entries:
        for reason in _faults(entry):
            found.append(f"{dataset.name}: {entry.id}: {entry.path}: {reason}")
    counts = Counter(entry.id for entry in dataset.entries)
    return found + [f"{dataset.name}: {id}: comes {count} times" for id, count in counts.items() if count > 1]


def _faults(entry: Entry) -> list[str]:
    if not entry.path.is_file():
        return ["is not there"]
    try:
        num_samples, sample_rate = audio.probe(entry.path)
    except ValueError as error:
        return [str(error)]
    faults = []
    if entry.sample_rate and entry.sample_rate != sample_rate:
        faults.append(f"has {sample_rate} Hz, listed with {entry.sample_rate}")
    if entry.duration_s and abs(entry.duration_s - num_samples / sample_rate) > 0.02:
        faults.append(f"lasts {num_samples / sample_rate:.2f} s, listed with {entry.duration_s:.2f}")
    return faults


class _Row(BaseModel):
    """A line of a manifest."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1)
    path: str = Field(min_length=1)
    text: str | None = None
    speaker: str | None = None
    language: Tag = ""
    duration_s: float = 0.0
    sample_rate: int = 0
    licence: str = ""


def read_manifest(path: Path, name: str) -> Dataset:
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start})") from None
    entries, licences, mistakes = [], set(), []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate(json.loads(line))
        except json.JSONDecodeError as error:
            mistakes.append(f"{path}:{number}: is no JSON: {error.msg} at column {error.colno}")
        except ValidationError as error:
            mistakes += [f"{path}:{number}: {'.'.join(map(str, item['loc'])) or 'the line'}: {item['msg']}" for item in error.errors()]
        else:
            entry = Entry(row.id, resolved(path.parent, row.path), row.text or None, row.speaker, row.language, name)
            stated = dataclasses.replace(entry, duration_s=row.duration_s, sample_rate=row.sample_rate)
            entries.append(stated if row.duration_s and row.sample_rate else with_header(entry))
            licences.add(row.licence)
    if mistakes:
        more = [f"{path}: and {len(mistakes) - _MISTAKES_SHOWN} more"] if len(mistakes) > _MISTAKES_SHOWN else []
        raise UserError("\n".join([*mistakes[:_MISTAKES_SHOWN], *more]))
    if not entries:
        raise UserError(f"{path}: lists no utterances")
    return Dataset(name, revision_of(content), tuple(entries), ", ".join(sorted(licences - {""})))


def resolved(base_dir: Path, path: str) -> Path:
    return (base_dir / Path(path).expanduser()).resolve()


def revision_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"


def with_header(entry: Entry) -> Entry:
    try:
        num_samples, sample_rate = audio.probe(entry.path)
    except ValueError:
        return entry  # problems() names it
    return dataclasses.replace(entry, duration_s=num_samples / sample_rate, sample_rate=sample_rate)


def text_beside(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    if not text.is_file():
        return None
    try:
        return text.read_text(encoding="utf-8").strip() or None
    except UnicodeDecodeError as error:
        raise UserError(f"{text}: is not UTF-8 ({error.reason} at byte {error.start})") from None
