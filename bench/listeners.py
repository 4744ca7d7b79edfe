"""Public listening scores as CSV, by whatever names its columns have: a row for each rated item, or for each rating of one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.cells import csv_rows
from bench.errors import UserError, unknown
from bench.files import write_text
from bench.suite import PACKAGED


@dataclass(frozen=True)
class Columns:
    """The names that the columns of a CSV have; `path` and `reference` may be "" where the audio is not in it."""

    item: str = "item"
    system: str = "system"
    score: str = "score"
    path: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Rating:
    """What listeners made of one utterance of one system: the mean of its rows.

    system      "opus@6kbps", or "opus" where a codec has one point
    path        of the degraded audio; reference: of the original; None where the CSV does not say
    """

    item: str
    system: str
    score: float
    listeners: int
    path: Path | None = None
    reference: Path | None = None


def read_ratings(path: Path, columns: Columns) -> list[Rating]:
    """In the order in which items and systems first come; UserError names file, line and column."""
    scores: dict[tuple[str, str], list[float]] = {}
    audio: dict[tuple[str, str], tuple[Path | None, Path | None]] = {}
    for line, row in _rows(path, columns):
        key = (row[columns.item], row[columns.system])
        if not all(key):
            raise UserError(f"{path}:{line}: {columns.system if key[0] else columns.item} is empty")
        scores.setdefault(key, []).append(_number(row[columns.score], f"{path}:{line}: {columns.score}"))
        found = _audio(path, line, row, columns.path), _audio(path, line, row, columns.reference)
        if audio.setdefault(key, found) != found:
            raise UserError(f"{path}:{line}: {key[1]} of {key[0]} has other audio than on a line before")
    if not scores:
        raise UserError(f"{path}: has no rows")
    return [Rating(*key, sum(values) / len(values), len(values), *audio[key]) for key, values in scores.items()]


def write_manifests(ratings: Sequence[Rating], folder: Path, language: str) -> None:
    """manifest.jsonl of the references, recordings.jsonl of the systems, and the packaged suite `ears` over the two, in `folder`."""
    references: dict[str, Path] = {}
    for rating in ratings:
        if rating.path is None or rating.reference is None:
            raise UserError("to score the rated audio, name the columns of its files: --path and --reference")
        if references.setdefault(rating.item, rating.reference) != rating.reference:
            raise UserError(f"item {rating.item} has two references: {references[rating.item]} and {rating.reference}")
    heard = [{"id": each.item, "system": each.system, "variant": "rated", "path": str(each.path)} for each in ratings]
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "manifest.jsonl", [{"id": item, "path": str(path), "language": language} for item, path in references.items()])
    _write_lines(folder / "recordings.jsonl", heard)
    suite = (PACKAGED / "ears.yaml").read_text(encoding="utf-8").replace("../ears/", "")
    write_text(folder / "ears.yaml", suite)


def _rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line."""

    def check(known: Sequence[str]) -> None:
        for name in (columns.item, columns.system, columns.score, columns.path, columns.reference):
            if name and name not in known:
                raise UserError(f"{path}:1: {unknown('column', name, known)}")

    return csv_rows(path, check)


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{place}: '{text}' is no number")
    return value


def _audio(path: Path, line: int, row: Mapping[str, str], column: str) -> Path | None:
    """An audio file, from the folder of the CSV."""
    if not column:
        return None
    place = (path.parent / row[column]).resolve()
    if not place.is_file():
        raise UserError(f"{path}:{line}: {column}: no file {place}")
    return place


def _write_lines(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
