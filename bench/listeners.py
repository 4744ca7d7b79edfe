"""Public listening scores as CSV, by whatever names its columns have: a row for each rated item, or for each rating of one."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError, unknown
from bench.files import write_atomically, write_text
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
    rows = _rows(path, columns)
    scores: dict[tuple[str, str], list[float]] = {}
    audio: dict[tuple[str, str], tuple[Path | None, Path | None]] = {}
    for line, row in rows:
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


def _rows(path: Path, columns: Columns) -> list[tuple[int, dict[str, str]]]:
    """Each row with its line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    reader = csv.DictReader(lines, restval="", strict=True)
    try:
        known = list(reader.fieldnames or ())
        for name in (columns.item, columns.system, columns.score, columns.path, columns.reference):
            if name and name not in known:
                raise UserError(f"{path}:1: {unknown('column', name, known)}")
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


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
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
