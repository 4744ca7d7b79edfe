"""The contract of a layout, which is how a corpus lies on disk once it is downloaded (layouts/ holds them), and what layouts share."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from bench import audio
from bench.dataset import Entry
from bench.datasets.cells import csv_lines, given, text_of
from bench.errors import UserError
from bench.language import language_tag

COLUMNS = {
    "path": ("path", "file_name", "filename", "file", "audio_filepath", "audio_path", "audio_file", "wav_path", "audio", "wav"),
    "text": ("text", "normalized_text", "text_normalized", "sentence", "transcription", "transcript", "raw_transcription"),
    "id": ("id", "utterance_id", "utt_id", "utt", "utterance"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id"),
    "language": ("language", "lang", "locale"),
}
"""Names under which tables hold what we read, by our name; the first that is there is taken, whatever its case."""


class Layout(Protocol):
    """A module of layouts/.

    TITLE      of the corpus or the form, for people
    DEFAULT    beginning of the names of the parts that are meant where a suite states no `split`
    """

    TITLE: str
    DEFAULT: str

    def parts(self, path: Path) -> Mapping[str, Path]:
        """The parts of the corpus in `path`, each with its folder or file; "" names one that is `path` itself; {} in another layout."""
        ...

    def entries(self, name: str, part: Path) -> Sequence[Entry]:
        """The utterances of one part, in order, their headers unread. UserError names file and line of a mistake."""
        ...


def folders_that(fits: Callable[[Path], bool], path: Path, depth: int = 2) -> dict[str, Path]:
    """The folders nearest to `path` that fit: itself (named ""), else those in it, else those one deeper, each by its path in `path`."""
    level = [path] if path.is_dir() else []
    for _ in range(depth + 1):
        if found := [folder for folder in level if fits(folder)]:
            return {"" if folder == path else folder.relative_to(path).as_posix(): folder for folder in found}
        level = [inner for folder in level for inner in folders_in(folder)]
    return {}


def holds_chapters(folder: Path, texts: str) -> bool:
    """Whether `folder` holds SPEAKER/CHAPTER folders, both numbers, with files that the pattern `texts` finds."""
    speakers = [speaker for speaker in folders_in(folder) if speaker.name.isdigit()]
    return any(any(chapter.glob(texts)) for speaker in speakers[:3] for chapter in folders_in(speaker)[:3] if chapter.name.isdigit())


def first_line(path: Path) -> str:
    """The first line of a file by which its layout is told; "" where it cannot be read. What is no UTF-8 is for the reader to name."""
    try:
        with path.open("rb") as file:
            return file.readline(1 << 20).decode("utf-8-sig", "replace").rstrip("\r\n")
    except OSError:
        return ""


def folders_in(folder: Path) -> list[Path]:
    """Its sub-folders in order, without hidden ones; [] where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            names = sorted(each.name for each in found if each.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if not is_hidden(Path(name))]


def is_hidden(path: Path) -> bool:
    """Copies and notes of editors and file systems, which are no utterances: ._a.wav, .ipynb_checkpoints, __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def is_audio(path: Path) -> bool:
    return path.suffix.lower() in audio.SUFFIXES and not path.name.startswith(".")


def audio_in(folder: Path, pattern: str) -> list[Path]:
    """The audio files that `pattern` finds in `folder`, in order."""
    return sorted(path for path in folder.glob(pattern) if is_audio(path) and not is_hidden(path.relative_to(folder)))


def existing(stem: Path, suffixes: Iterable[str]) -> Path:
    """`stem` with the first of `suffixes` that is there, else with the first."""
    choices = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    return next((path for path in choices if path.is_file()), choices[0])


def keyed_lines(path: Path) -> dict[str, str]:
    """`ID the rest` of every line of a file; UserError on an id that comes twice."""
    found: dict[str, str] = {}
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        key, *rest = line.strip().split(maxsplit=1)
        if key in found:
            raise UserError(f"{path}:{number}: {key} comes twice")
        found[key] = rest[0] if rest else ""
    return found


def table_rows(path: Path, delimiter: str = "", quoted: bool = True) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line and cells by column name of a CSV or TSV with a header; without `delimiter` the suffix and the header say which it is."""
    content = text_of(path)
    header = content.split("\n", 1)[0]
    if not delimiter:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
    columns: list[str] = []
    for line, cells in csv_lines(content, path, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE):
        if columns:
            yield line, dict(zip(columns, [*cells, *[None] * (len(columns) - len(cells))], strict=True))
        columns = columns or cells


def entries_of(path: Path, rows: Iterable[tuple[int, Any]], folder: Path | None = None) -> list[Entry]:
    """The utterances that rows of a table (line, cells) list by the names of COLUMNS.

    folder    where relative paths of the recordings begin; None for the folder of `path`

    The id of a row without one is the path of its recording without suffix, from the folder that all of them share where it is absolute.
    """
    known = [(f"{path}:{line}", cells_of(f"{path}:{line}", row)) for line, row in rows]
    if not known:
        raise UserError(f"{path}: lists no utterances")
    found = []
    for place, cells in known:
        if cells["path"] is None:
            raise UserError(f"{place}: names no recording; the column of it is one of: {', '.join(COLUMNS['path'])}")
        found.append(Path(cells["path"].replace("\\", "/")))
    absolute = [file.parent.as_posix() for file in found if file.is_absolute()]
    shared = Path(os.path.commonpath(absolute)) if absolute else Path("/")
    entries = []
    for (place, cells), file in zip(known, found, strict=True):
        inner = file.relative_to(shared) if file.is_absolute() else file
        try:
            language = language_tag(cells["language"])
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        identifier = cells["id"] or without_suffix(inner)
        entries.append(Entry(identifier, (folder or path.parent) / file, cells["text"], cells["speaker"], language))
    return entries


def cells_of(place: str, row: Any) -> dict[str, str | None]:
    """What a row holds, by our names of COLUMNS; UserError at `place` where it is no mapping, or a cell no text."""
    if not isinstance(row, Mapping):
        raise UserError(f"{place}: is no row of named cells: {json.dumps(row, default=str)[:80]}")
    lower = {str(key).strip().lower(): value for key, value in row.items()}
    cells: dict[str, str | None] = {}
    for ours, theirs in COLUMNS.items():
        name = next((name for name in theirs if name in lower), None)
        try:
            cells[ours] = given(lower[name]) if name else None
        except ValueError as error:
            raise UserError(f"{place}: {name}: {error}") from None
    return cells


def without_suffix(path: Path) -> str:
    """`path` without the suffix of an audio file, between slashes."""
    name = PurePosixPath(path.as_posix())
    return str(name.with_suffix("")) if is_audio(path) else str(name)
