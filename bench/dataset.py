"""Utterances and where they come from: the bundled corpus, a folder, a manifest, or the `datasets` library."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench import audio, hub
from bench.codec import Need
from bench.errors import Unavailable, UserError, unknown
from bench.hub import KNOWN_SETS, HubSource

BUNDLED = "bundled"
NAMES = (BUNDLED, *KNOWN_SETS)
_CORPUS = Path(__file__).parent / "corpus"
_CORPUS_LICENCE = "Apache-2.0"
_MISTAKES_SHOWN = 20


@dataclass(frozen=True)
class Utterance:
    """One recording with what is known of it.

    audio         float32 [T], mono, in [-1, 1], at its own `sample_rate`
    language      BCP-47 primary tag ("en", "de"); "" where unknown
    """

    id: str
    audio: np.ndarray
    sample_rate: int
    text: str | None = None
    speaker: str | None = None
    language: str = ""
    dataset: str = ""

    @cached_property
    def audio_sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.audio, np.float32).tobytes() + str(self.sample_rate).encode()).hexdigest()

    @property
    def duration_s(self) -> float:
        return len(self.audio) / self.sample_rate


@dataclass(frozen=True)
class Entry:
    """An utterance that is still a file; small, and readable from any process that sees the disk.

    duration_s, sample_rate    as the manifest states them, else of the file's header; 0 where that is unreadable
    """

    id: str
    path: Path
    text: str | None = None
    speaker: str | None = None
    language: str = ""
    dataset: str = ""
    duration_s: float = 0.0
    sample_rate: int = 0

    def read(self) -> Utterance:
        samples, sample_rate = audio.read(self.path)
        return Utterance(self.id, samples, sample_rate, self.text, self.speaker, self.language, self.dataset)


@dataclass(frozen=True)
class Dataset:
    """The entries that a suite uses of one data set, in the order of its listing.

    revision    the hub's commit, or "sha256:" and the head of the hash of the listing
    """

    name: str
    revision: str
    entries: tuple[Entry, ...]
    licence: str = ""
    citation: str = ""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Selection(BaseModel):
    """Which utterances of a data set are used; the keys narrow it in this order.

    ids           file whose lines begin with the id of an utterance
    languages     BCP-47 primary tags
    duration_s    [shortest, longest]
    limit         takes a sample that the suite's seed draws: 10 of them are among the 20 of the same seed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: str | None = None
    languages: Strings = ()
    duration_s: tuple[float, float] | None = None
    limit: int | None = Field(default=None, ge=1)

    def select(self, entries: Iterable[Entry], base_dir: Path, seed: int) -> tuple[Entry, ...]:
        kept = list(entries)
        if self.ids is not None:
            kept = _listed_in(_path(base_dir, self.ids), kept)
        if self.languages:
            kept = [entry for entry in kept if entry.language in self.languages]
        if self.duration_s is not None:
            shortest, longest = self.duration_s
            kept = [entry for entry in kept if shortest <= entry.duration_s <= longest]
        if self.limit is not None:
            drawn = set(sorted(kept, key=lambda entry: hashlib.sha256(f"{seed}:{entry.id}".encode()).digest())[: self.limit])
            kept = [entry for entry in kept if entry in drawn]
        return tuple(kept)

    def needs(self, base_dir: Path) -> list[Need]:
        """What must be fetched or put in place before the listing works without a network."""
        return []


class BundledSet(Selection):
    """The small corpus that comes with the package."""

    name: Literal["bundled"]

    def listing(self, base_dir: Path) -> Dataset:
        return dataclasses.replace(_read_manifest(_CORPUS / "manifest.jsonl", self.name), licence=_CORPUS_LICENCE)


class NamedSet(Selection):
    """A set that hub.py knows. `data_files`: its parquet files on this machine, read in place of the hub's."""

    name: str
    data_files: Strings = ()

    def listing(self, base_dir: Path) -> Dataset:
        known = KNOWN_SETS[self.name]
        found = _read_fetched(known.source, _files(base_dir, self.data_files), self.name)
        if known.ids_url and self.ids is None:
            found = dataclasses.replace(found, entries=tuple(_listed_in(hub.fetch_ids(known), found.entries)))
        return dataclasses.replace(found, licence=known.licence, citation=known.citation)

    def needs(self, base_dir: Path) -> list[Need]:
        known = KNOWN_SETS[self.name]
        how = f"python -m bench.dataset {self.name}"
        found = _source_needs(known.source, self.name, how, self.data_files, base_dir)
        found = [dataclasses.replace(need, size_mb=known.size_mb, licence=known.licence) for need in found]
        if known.ids_url and self.ids is None:
            found.append(Need("data", f"{self.name}: list of utterances", hub.ids_file(known).is_file(), how, 0.03))
        return found


class FolderSet(Selection):
    """Audio files in a folder and below: the id is the path without its suffix, the speaker the first sub-folder, the text NAME.txt."""

    folder: str
    name: str | None = None
    language: str = ""

    def listing(self, base_dir: Path) -> Dataset:
        folder = _path(base_dir, self.folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder")
        name = self.name or folder.name
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES)
        if not paths:
            raise UserError(f"{folder}: holds no audio ({', '.join(sorted(audio.SUFFIXES))})")
        entries = []
        for path in paths:
            inner = path.relative_to(folder)
            speaker = inner.parts[0] if len(inner.parts) > 1 else None
            entry = Entry(inner.with_suffix("").as_posix(), path, _text_beside(path), speaker, self.language, name)
            entries.append(_with_header(entry))
        listing = [[entry.id, entry.duration_s, entry.sample_rate, entry.text] for entry in entries]
        return Dataset(name, _revision(json.dumps(listing).encode()), tuple(entries))


class ManifestSet(Selection):
    """JSONL, one utterance a line: id, path (relative to the file), text, speaker, language; other keys are left alone."""

    manifest: str
    name: str | None = None

    def listing(self, base_dir: Path) -> Dataset:
        path = _path(base_dir, self.manifest)
        return _read_manifest(path, self.name or (path.parent.name if path.stem == "manifest" else path.stem))


class HubSet(HubSource, Selection):
    """Any parquet data set of the hub. `data_files`: parquet files or folders of them on this machine, read in place of the hub's."""

    name: str | None = None
    data_files: Strings = ()

    def listing(self, base_dir: Path) -> Dataset:
        return _read_fetched(self._source(), _files(base_dir, self.data_files), self._label())

    def needs(self, base_dir: Path) -> list[Need]:
        how = f"python -m bench.dataset '{self._source().model_dump_json(exclude_defaults=True)}'"
        return _source_needs(self._source(), self._label(), how, self.data_files, base_dir)

    def _label(self) -> str:
        return self.name or "/".join(part for part in (self.hf, self.config, self.split) if part)

    def _source(self) -> HubSource:
        return HubSource(**{key: getattr(self, key) for key in HubSource.model_fields if key in self.model_fields_set})


DatasetSpec = BundledSet | NamedSet | FolderSet | ManifestSet | HubSet
_FORMS: dict[str, type[DatasetSpec]] = {"folder": FolderSet, "manifest": ManifestSet, "hf": HubSet, "name": NamedSet}


def parse_spec(value: Any) -> DatasetSpec:
    """The data set that a suite asks for: a name, or a mapping with one of `folder`, `manifest`, `hf` and `name`.

    Raises ValueError, or pydantic's ValidationError with the place of each mistake inside the mapping.
    """
    if isinstance(value, str):
        value = {"name": value}
    form = next((form for key, form in _FORMS.items() if key in value), None) if isinstance(value, Mapping) else None
    if form is None:
        raise ValueError(f"a data set is a name ({', '.join(NAMES)}), or a mapping with one of: {', '.join(_FORMS)}")
    if form is NamedSet:
        if value["name"] not in NAMES:
            raise ValueError(unknown("data set", str(value["name"]), NAMES))
        form = BundledSet if value["name"] == BUNDLED else NamedSet
    for key in value:
        if key not in form.model_fields:
            raise ValueError(unknown("key", str(key), form.model_fields))
    return form.model_validate(value)


def open_dataset(spec: DatasetSpec, base_dir: Path, seed: int) -> Dataset:
    """The data set's listing, narrowed to what `spec` selects. Relative paths start at `base_dir`.

    Fetches what is not on this machine (Unavailable where it can not). UserError names the mistakes of a manifest by line.
    """
    found = spec.listing(base_dir)
    entries = spec.select(found.entries, base_dir, seed)
    if not entries:
        raise UserError(f"data set {found.name}: none of its {len(found.entries)} utterances is selected")
    return dataclasses.replace(found, entries=entries)


def needs(spec: DatasetSpec, base_dir: Path) -> list[Need]:
    """The remote files of `spec`, on this machine or not, each with the command that gets it."""
    return spec.needs(base_dir)


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
    language: str = ""
    duration_s: float = 0.0
    sample_rate: int = 0
    licence: str = ""


def _read_manifest(path: Path, name: str) -> Dataset:
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
            entry = Entry(row.id, _path(path.parent, row.path), row.text or None, row.speaker, row.language, name)
            stated = dataclasses.replace(entry, duration_s=row.duration_s, sample_rate=row.sample_rate)
            entries.append(stated if row.duration_s and row.sample_rate else _with_header(entry))
            licences.add(row.licence)
    if mistakes:
        more = [f"{path}: and {len(mistakes) - _MISTAKES_SHOWN} more"] if len(mistakes) > _MISTAKES_SHOWN else []
        raise UserError("\n".join([*mistakes[:_MISTAKES_SHOWN], *more]))
    if not entries:
        raise UserError(f"{path}: lists no utterances")
    return Dataset(name, _revision(content), tuple(entries), ", ".join(sorted(licences - {""})))


def _read_fetched(source: HubSource, files: Sequence[Path], name: str) -> Dataset:
    folder = hub.fetch(source, files)
    found = _read_manifest(folder / "manifest.jsonl", name)
    return dataclasses.replace(found, revision=hub.commit_of(folder) or found.revision)


def _source_needs(source: HubSource, name: str, how: str, data_files: Sequence[str], base_dir: Path) -> list[Need]:
    if not data_files:
        return [Need("data", name, hub.is_fetched(source), how)]
    try:
        _files(base_dir, data_files)
    except Unavailable as error:
        return [Need("data", name, False, str(error))]
    return []


def _files(base_dir: Path, patterns: Sequence[str]) -> list[Path]:
    """Files that `patterns` (paths, globs, folders of parquet files) stand for, in order."""
    files: list[Path] = []
    for pattern in patterns:
        path = _path(base_dir, pattern)
        matches = sorted(path.rglob("*.parquet")) if path.is_dir() else sorted(path.parent.glob(path.name))
        if not matches:
            raise Unavailable(f"put the parquet files at {path}; nothing is there")
        files += matches
    return files


def _path(base_dir: Path, path: str) -> Path:
    return (base_dir / Path(path).expanduser()).resolve()


def _revision(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"


def _with_header(entry: Entry) -> Entry:
    try:
        num_samples, sample_rate = audio.probe(entry.path)
    except ValueError:
        return entry  # problems() names it
    return dataclasses.replace(entry, duration_s=num_samples / sample_rate, sample_rate=sample_rate)


def _text_beside(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    if not text.is_file():
        return None
    try:
        return text.read_text(encoding="utf-8").strip() or None
    except UnicodeDecodeError as error:
        raise UserError(f"{text}: is not UTF-8 ({error.reason} at byte {error.start})") from None


def _listed_in(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose ids begin the lines of the file; all of them must be there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    wanted = {line.split()[0] for line in lines if line.strip()}
    if missing := sorted(wanted - {entry.id for entry in entries}):
        raise UserError(f"{path}: {len(missing)} of its {len(wanted)} ids are not in the data set, the first: {missing[0]}")
    return [entry for entry in entries if entry.id in wanted]


def _main() -> None:
    """`python -m bench.dataset NAME` or JSON: fetches a data set, so that runs need no network."""
    for argument in sys.argv[1:]:
        spec = parse_spec(json.loads(argument) if argument.startswith("{") else argument)
        found = open_dataset(spec, Path.cwd(), seed=0)
        print(f"{found.name}: {len(found.entries)} utterances, revision {found.revision}, in {found.entries[0].path.parent}")


if __name__ == "__main__":
    _main()
