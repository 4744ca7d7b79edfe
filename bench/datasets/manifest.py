"""A JSONL manifest and the files it lists: read, checked, its mistakes named by line."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from bench import audio
from bench.checkpoint import cache_folder
from bench.dataset import Dataset, Entry
from bench.datasets.cells import amount, given, json_of, text_of
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
    if _holds_nothing(entry.path):
        return []  # a row of a hub's set without audio: one failed utterance, which the run records
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


def _holds_nothing(path: Path) -> bool:
    try:
        return path.is_relative_to(cache_folder() / "datasets") and not path.stat().st_size
    except (OSError, ValueError):
        return False


class _Row(BaseModel):
    """A line of a manifest."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, BeforeValidator(given), Field(min_length=1)]
    path: str = Field(min_length=1)
    text: Annotated[str | None, BeforeValidator(given)] = None
    speaker: Annotated[str | None, BeforeValidator(given)] = None
    language: Tag = ""
    duration_s: Annotated[float, BeforeValidator(amount)] = 0.0
    sample_rate: Annotated[int, BeforeValidator(amount)] = 0
    licence: Annotated[str | None, BeforeValidator(given)] = None


def read_manifest(path: Path, name: str) -> Dataset:
    content = text_of(path)
    entries, licences, mistakes = [], set(), []
    for number, line in enumerate(content.split("\n"), start=1):  # a text may hold other characters that end lines elsewhere
        if not line.strip():
            continue
        try:
            row = _Row.model_validate(json_of(line))
        except ValidationError as error:
            mistakes += [f"{path}:{number}: {'.'.join(map(str, item['loc'])) or 'the line'}: {_told(item)}" for item in error.errors()]
        except ValueError as error:
            mistakes.append(f"{path}:{number}: {error}")
        else:
            entry = Entry(row.id, resolved(path.parent, row.path), row.text, row.speaker, row.language, name)
            stated = dataclasses.replace(entry, duration_s=row.duration_s, sample_rate=row.sample_rate)
            entries.append(stated if row.duration_s and row.sample_rate else with_header(entry))
            licences.add(row.licence or "")
    if mistakes:
        more = [f"{path}: and {len(mistakes) - _MISTAKES_SHOWN} more"] if len(mistakes) > _MISTAKES_SHOWN else []
        raise UserError("\n".join([*mistakes[:_MISTAKES_SHOWN], *more]))
    if not entries:
        raise UserError(f"{path}: lists no utterances")
    return Dataset(name, revision_of(content.encode()), tuple(entries), ", ".join(sorted(licences - {""})))


def _told(item: ErrorDetails) -> str:
    if item["type"] == "missing":
        return "is missing"
    return "is empty" if item["input"] is None or item["input"] == "" else item["msg"].removeprefix("Value error, ")


def resolved(base_dir: Path, path: str) -> Path:
    try:
        return (base_dir / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a NUL: whoever opens it says so
        return base_dir / path


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
    return given(text_of(text).strip())
