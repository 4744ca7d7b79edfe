"""Corpora as they lie on disk: which layout a folder is in, its utterances, and its texts alone."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import audio
from bench.dataset import Dataset, Entry
from bench.datasets.cells import given, json_lines, text_of
from bench.datasets.layout import COLUMNS, Layout, cells_of, is_hidden, keyed_lines, table_rows, without_suffix
from bench.datasets.layouts import (
    audiofolder,
    common_voice,
    fleurs,
    kaldi,
    lhotse,
    librispeech,
    libritts,
    ljspeech,
    mls,
    nemo,
    saved,
    table,
    vctk,
)
from bench.datasets.manifest import revision_of, text_beside, with_header
from bench.errors import UserError, unknown
from bench.folders import texts_by_utterance

LAYOUTS: dict[str, Layout] = {  # in the order in which they are tried
    "libritts": libritts,
    "librispeech": librispeech,
    "vctk": vctk,
    "ljspeech": ljspeech,
    "mls": mls,
    "common_voice": common_voice,
    "fleurs": fleurs,
    "kaldi": kaldi,
    "saved": saved,
    "audiofolder": audiofolder,
    "lhotse": lhotse,
    "nemo": nemo,
    "table": table,
}
FILES = "files"
CORPORA = (*LAYOUTS, FILES)


def recognised(path: Path) -> str | None:
    """The layout that `path` is in, of LAYOUTS; None where it is none of them."""
    return next((name for name, layout in LAYOUTS.items() if layout.parts(path)), None)


def read_corpus(corpus: str, path: Path, split: Sequence[str] = (), name: str | None = None, language: str = "") -> Dataset:
    """The utterances of `path` in the layout `corpus`, their headers unread.

    split       names of parts, whole or their last component; () for the test part, or the only one
    language    of all of them, in place of what the corpus states
    """
    layout = LAYOUTS[corpus]
    chosen = _chosen(layout, path, split)
    entries: list[Entry] = []
    for part, place in chosen.items():
        entries += layout.entries(part, place)
    if not entries:
        raise UserError(f"{path}: {layout.TITLE}: holds no utterances")
    own = name or (path.name if path.is_dir() else path.stem)
    entries = [dataclasses.replace(entry, dataset=own, language=language or entry.language) for entry in entries]
    listing = [[entry.id, entry.text, entry.speaker, entry.language, _size(entry.path)] for entry in entries]
    revision = revision_of(json.dumps(listing).encode())
    return Dataset(own, revision, tuple(entries), recognised=_described(layout.TITLE, chosen, entries))


def read_files(folder: Path, name: str | None = None, language: str = "") -> Dataset:
    """Every audio file in `folder` and below, with the text beside it; `folder` may be one file."""
    own = name or folder.resolve().name
    if folder.is_file():
        folder, paths = folder.parent, [folder]
    else:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES)
        paths = [path for path in found if not is_hidden(path.relative_to(folder))]
    if not paths:
        raise UserError(f"{folder}: holds no audio ({', '.join(sorted(audio.SUFFIXES))})")
    entries = []
    for path in paths:
        inner = path.relative_to(folder)
        speaker = inner.parts[0] if len(inner.parts) > 1 else None
        entries.append(with_header(Entry(inner.with_suffix("").as_posix(), path, text_beside(path), speaker, language, own)))
    listing = [[entry.id, entry.duration_s, entry.sample_rate, entry.text] for entry in entries]
    return Dataset(own, revision_of(json.dumps(listing).encode()), tuple(entries))


def texts_of(path: Path) -> dict[str, str]:
    """Id -> text of a folder or a file; what has no text is left out.

    A folder in a layout that is known, or of NAME.txt files, whose ids are their paths without suffix; a CSV, TSV or JSONL file with a
    column for id or path and one for the text; a file of lines `ID text`. UserError where there is no text, or an id comes twice.
    """
    entries = _texts(path)
    if twice := [identifier for identifier, count in Counter(identifier for identifier, _ in entries).items() if count > 1]:
        raise UserError(f"{path}: the text of {twice[0]} comes twice")
    texts = {identifier: text for identifier, text in entries if text}
    if not texts:
        raise UserError(f"{path}: holds no texts")
    return texts


def with_texts(dataset: Dataset, path: Path) -> Dataset:
    """`dataset` with the texts of `path` in place of its own, by id or the last part of it. UserError where none belongs to it."""
    texts = texts_by_utterance(texts_of(path), [entry.id for entry in dataset.entries])
    if not texts:
        raise UserError(f"{path}: holds no text of {dataset.name}, whose first utterance is '{dataset.entries[0].id}'")
    entries = tuple(dataclasses.replace(entry, text=texts.get(entry.id)) for entry in dataset.entries)
    return dataclasses.replace(dataset, entries=entries)


def _texts(path: Path) -> list[tuple[str, str | None]]:
    if path.is_dir():
        corpus = recognised(path)
        if corpus is not None:
            return [(entry.id, entry.text) for entry in read_corpus(corpus, path).entries]
        files = [file for file in sorted(path.rglob("*.txt")) if not is_hidden(file.relative_to(path))]
        return [(file.relative_to(path).with_suffix("").as_posix(), given(text_of(file).strip())) for file in files]
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _identified(path, json_lines(path))
    if suffix == ".tsv" or (suffix == ".csv" and _has_header(path)):
        return _identified(path, table_rows(path))
    if suffix == ".csv":  # of LJSpeech
        lines = [line.strip().split("|") for line in text_of(path).split("\n") if line.strip()]
        return [(cells[0], given(cells[-1])) for cells in lines if len(cells) > 1]
    return [(identifier, given(text)) for identifier, text in keyed_lines(path).items()]


def _identified(path: Path, rows: Iterable[tuple[int, object]]) -> list[tuple[str, str | None]]:
    found = []
    for line, row in rows:
        cells = cells_of(f"{path}:{line}", row)
        identifier = cells["id"] or (without_suffix(Path(cells["path"])) if cells["path"] else None)
        if identifier is None:
            raise UserError(f"{path}:{line}: has neither id nor path; their columns are: {', '.join(COLUMNS['id'] + COLUMNS['path'])}")
        found.append((identifier, cells["text"]))
    return found


def _has_header(path: Path) -> bool:
    header = text_of(path).split("\n", 1)[0].lower()
    return any(name in header for name in COLUMNS["text"]) and "|" not in header


def _chosen(layout: Layout, path: Path, split: Sequence[str]) -> dict[str, Path]:
    """The parts that are asked for; without a word those that the layout means, or the only one."""
    parts = layout.parts(path)
    if not parts:
        raise UserError(f"{path}: is not in the layout of {layout.TITLE}; {(layout.__doc__ or '').splitlines()[0]}")
    if not split:
        meant = {name: place for name, place in parts.items() if layout.DEFAULT and _last(name).startswith(layout.DEFAULT)}
        if meant or len(parts) == 1:
            return meant or dict(parts)
        raise UserError(f"{path}: {layout.TITLE}: has no part '{layout.DEFAULT}'; choose by `split:` one or more of: {', '.join(parts)}")
    chosen: dict[str, Path] = {}
    for wanted in split:
        found = {name: place for name, place in parts.items() if wanted in (name, _last(name), place.name)}
        if not found:
            raise UserError(f"{path}: {layout.TITLE}: {unknown('split', wanted, [name or place.name for name, place in parts.items()])}")
        chosen.update(found)
    return chosen


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _described(title: str, parts: Mapping[str, Path], entries: Sequence[Entry]) -> str:
    """`LibriTTS (test-clean): 4,837 utterances, 39 speakers, all with text`."""
    of = f" ({', '.join(parts)})" if any(parts) else ""
    speakers = len({entry.speaker for entry in entries} - {None})
    with_text = sum(entry.text is not None for entry in entries)
    languages = sorted({entry.language for entry in entries} - {""})
    texts = {len(entries): "all with text", 0: "none with text"}.get(with_text, f"{with_text:,} with text")
    facts = [
        f"{len(entries):,} utterance{'s' * (len(entries) != 1)}",
        f"{speakers:,} speaker{'s' * (speakers != 1)}" if speakers else "speakers unknown",
        *([f"language {', '.join(languages)}"] if languages else ["language unknown"]),
        texts,
    ]
    return f"{title}{of}: {', '.join(facts)}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1  # problems() names it
