"""lhotse manifests: cuts of whole recordings (*cuts*.jsonl[.gz]), or recordings and supervisions (*recordings*, *supervisions*)."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.dataset import Entry
from bench.datasets.cells import given
from bench.datasets.layout import is_hidden
from bench.errors import UserError
from bench.language import language_tag

TITLE = "lhotse manifest"
DEFAULT = "test"
_SHORTEST_PIECE_S = 0.01  # what a cut may leave out of its recording by rounding


def parts(path: Path) -> Mapping[str, Path]:
    if path.is_file():
        return {"": path} if path.name.endswith((".jsonl", ".jsonl.gz")) and _first_key(path) else {}
    files = [file for file in sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")]) if not is_hidden(Path(file.name))]
    found = {kind: [file for file in files if _first_key(file) == kind] for kind in ("recording", "sources")}
    manifests = found["recording"] or found["sources"]
    return {file.name.split(".")[0]: file for file in manifests} if len(manifests) != 1 else {"": manifests[0]}


def entries(name: str, part: Path) -> Sequence[Entry]:
    try:
        if _first_key(part) == "recording":
            return [_of_cut(part, line, row) for line, row in _rows(part)]
        said = part.with_name(part.name.replace("recordings", "supervisions"))
        supervisions = dict(_by_recording(said)) if said != part and said.is_file() else {}
        return [_entry(part, line, row["id"], row, supervisions.get(str(row["id"]), {})) for line, row in _rows(part)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{part}: is not as lhotse writes it: {type(error).__name__} {error}") from None


def _of_cut(part: Path, line: int, cut: Mapping[str, Any]) -> Entry:
    said = cut.get("supervisions") or [{}]
    whole = float(cut["recording"]["duration"])
    if len(said) > 1 or float(cut.get("start", 0)) > 0 or not math.isclose(float(cut["duration"]), whole, abs_tol=_SHORTEST_PIECE_S):
        raise UserError(f"{part}:{line}: is a piece of a longer recording; write it as a file of its own first (CutSet.save_audios)")
    return _entry(part, line, cut["id"], cut["recording"], said[0])


def _entry(part: Path, line: int, identifier: Any, recording: Mapping[str, Any], said: Mapping[str, Any]) -> Entry:
    source = recording["sources"][0]
    if len(recording["sources"]) > 1 or source["type"] != "file":
        raise UserError(f"{part}:{line}: sources: is not one file ({source['type']})")
    try:
        language = language_tag(said.get("language"))
        text, speaker = given(said.get("text")), given(said.get("speaker"))
    except ValueError as error:
        raise UserError(f"{part}:{line}: {error}") from None
    place = Path(source["source"])
    choices = [base / place for base in (part.parent, *part.absolute().parent.parents[:2])]  # from the folder in which lhotse was called
    return Entry(str(identifier), next((path for path in choices if path.is_file()), choices[0]), text, speaker, language)


def _by_recording(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    seen = set()
    for line, row in _rows(path):
        recording = str(row["recording_id"])
        if recording in seen:
            raise UserError(f"{path}:{line}: a second piece of the recording {recording}; write the pieces as files of their own first")
        seen.add(recording)
        yield recording, row


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for number, line in enumerate(content.decode("utf-8-sig").split("\n"), start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    raise UserError(f"{path}:{number}: is no JSON") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _first_key(path: Path) -> str:
    """Which of lhotse's manifests it is: "recording" of cuts, "sources" of recordings; "" of others."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            row = json.loads(file.readline(1 << 22))
    except (OSError, EOFError, ValueError, RecursionError):
        return ""
    marks = {"recording": "duration", "sources": "sampling_rate"}
    return next((key for key, other in marks.items() if isinstance(row, dict) and key in row and other in row), "")
