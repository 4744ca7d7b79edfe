"""The forms of a suite's `datasets:` and how each is opened."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from bench.dataset import Dataset, Entry
from bench.datasets.cells import meant, no_switch, text_of
from bench.datasets.corpora import CORPORA, FILES, read_corpus, read_files, recognised, with_texts
from bench.datasets.hub import HubSource, Split
from bench.datasets.known import KNOWN_SETS, fetch_ids, ids_file
from bench.datasets.layout import is_audio
from bench.datasets.layouts import table
from bench.datasets.manifest import read_manifest, resolved, with_header
from bench.errors import Unavailable, UserError, unknown
from bench.language import Tag
from bench.needs import Need

BUNDLED = "bundled"
NAMES = (BUNDLED, *KNOWN_SETS)
_CORPUS = Path(__file__).parent.parent / "corpus"
_CORPUS_LICENCE = "Apache-2.0"


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, (str, bool)) else value  # YAML's `no` is a boolean


Strings = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Tags = Annotated[tuple[Tag, ...], BeforeValidator(_listed)]


class Selection(BaseModel):
    """Which utterances of a data set are used; the keys narrow it in this order.

    ids           file whose lines begin with the id of an utterance
    languages     BCP-47 primary tags
    duration_s    [shortest, longest]
    limit         takes a sample that the suite's seed draws: 10 of them are among the 20 of the same seed

    Of a set of the hub only the audio that this needs is fetched, by itself and without a switch: what is drawn depends on the listing
    alone, so it is the same whether the rest is here or not. `duration_s` is the exception that costs: it is known from the header of
    the audio, so everything that ids and languages leave is fetched before it narrows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: str | None = None
    languages: Tags = ()
    duration_s: Annotated[tuple[float, float] | None, BeforeValidator(no_switch)] = None
    limit: Annotated[int | None, BeforeValidator(no_switch), Field(ge=1)] = None

    def wanted(self, entries: Sequence[Entry], base_dir: Path, seed: int) -> list[Entry]:
        """The entries whose audio must be on this machine: those selected, as far as the listing alone can say."""
        kept = list(entries)
        if self.ids is not None:
            kept = _listed_in(resolved(base_dir, self.ids), kept)
        if self.languages:
            kept = [entry for entry in kept if entry.language in self.languages]
        return kept if self.duration_s is not None else self._sample(kept, seed)

    def with_audio(self, entries: list[Entry], base_dir: Path) -> list[Entry]:
        """`entries` with their files in place and their headers read."""
        return [entry if entry.sample_rate else with_header(entry) for entry in entries]

    def selected(self, entries: list[Entry], seed: int) -> list[Entry]:
        """What is left of wanted() now that the durations are known."""
        if self.duration_s is None:
            return entries
        shortest, longest = self.duration_s
        return self._sample([entry for entry in entries if shortest <= entry.duration_s <= longest], seed)

    def needs(self, base_dir: Path, seed: int) -> list[Need]:
        """What must be fetched or put in place before the data set opens without a network."""
        return []

    def label(self) -> str:
        """What messages call it: its name, or the path that the suite states."""
        raise NotImplementedError

    def _sample(self, entries: list[Entry], seed: int) -> list[Entry]:
        if self.limit is None:
            return entries
        drawn = set(sorted(entries, key=lambda entry: hashlib.sha256(f"{seed}:{entry.id}".encode()).digest())[: self.limit])
        return [entry for entry in entries if entry in drawn]


class BundledSet(Selection):
    """The small corpus that comes with the package."""

    name: Literal["bundled"]

    def label(self) -> str:
        return self.name

    def listing(self, base_dir: Path) -> Dataset:
        return dataclasses.replace(read_manifest(_CORPUS / "manifest.jsonl", self.name), licence=_CORPUS_LICENCE)


class FetchedSet(Selection):
    """A set of the hub, fetched as far as it is selected. `data_files`: parquet files or folders of them on this machine, in its place."""

    data_files: Strings = ()

    def listing(self, base_dir: Path) -> Dataset:
        split = self._split(base_dir)
        split.list_rows()
        found = read_manifest(split.manifest, self.label())
        return dataclasses.replace(found, revision=split.commit or found.revision)

    def with_audio(self, entries: list[Entry], base_dir: Path) -> list[Entry]:
        self._split(base_dir).fetch([entry.path for entry in entries])
        return [entry if entry.sample_rate else with_header(entry) for entry in entries]

    def needs(self, base_dir: Path, seed: int) -> list[Need]:
        """The data, with what is still to come: the row groups' size once the rows are listed, before that the whole split's."""
        if self.data_files:
            try:
                self._split(base_dir)
            except Unavailable as error:
                return [Need("data", self.label(), False, str(error), self._size_mb())]
            return []
        if not self._is_listed():
            return [Need("data", self._told(), False, self._command(base_dir, seed), self._size_mb())]
        wanted = self.wanted(self.listing(base_dir).entries, base_dir, seed)
        lacking = self._split(base_dir).lacking(entry.path for entry in wanted)
        if not lacking:
            return [Need("data", self.label(), True, self._command(base_dir, seed), self._size_mb())]
        size_mb = sum(group.num_bytes for group in lacking) / 1e6
        return [Need("data", self._told(), False, self._command(base_dir, seed), size_mb)]

    def _source(self) -> HubSource:
        raise NotImplementedError

    def _size_mb(self) -> float | None:
        return None

    def _is_listed(self) -> bool:
        """Whether it can be told without a network which utterances are selected."""
        return Split(self._source()).manifest.is_file()

    def _is_part(self) -> bool:
        return self.ids is not None or (self.limit is not None and self.duration_s is None)

    def _told(self) -> str:
        """What is to be fetched; before the rows are listed nobody knows how many row groups a part touches."""
        return f"{self.label()} (a part, at most)" if self._is_part() else self.label()

    def _command(self, base_dir: Path, seed: int) -> str:
        spec = self if self.ids is None else self.model_copy(update={"ids": str(resolved(base_dir, self.ids))})
        keys = spec.model_dump(exclude_unset=True)
        text = keys["name"] if keys.keys() == {"name"} else spec.model_dump_json(exclude_unset=True)
        drawn = f" --seed {seed}" if self.limit is not None and seed else ""
        return f"bench fetch {shlex.quote(text)}{drawn}"

    def _split(self, base_dir: Path) -> Split:
        return Split(self._source(), _files(base_dir, self.data_files))


class NamedSet(FetchedSet):
    """A set that hub.py knows."""

    name: str

    def listing(self, base_dir: Path) -> Dataset:
        known = KNOWN_SETS[self.name]
        found = super().listing(base_dir)
        if self._has_list():
            found = dataclasses.replace(found, entries=tuple(_listed_in(fetch_ids(known), found.entries)))
        return dataclasses.replace(found, licence=known.licence, citation=known.citation)

    def needs(self, base_dir: Path, seed: int) -> list[Need]:
        known = KNOWN_SETS[self.name]
        found = [dataclasses.replace(need, licence=known.licence) for need in super().needs(base_dir, seed)]
        if self._has_list():
            command = self._command(base_dir, seed)
            found.append(Need("data", f"{self.name}: list of utterances", ids_file(known).is_file(), command, 0.03))
        return found

    def _has_list(self) -> bool:
        """Whether the set is a part of its split that is listed elsewhere; `ids` stands in for that list."""
        return bool(KNOWN_SETS[self.name].ids_url) and self.ids is None

    def _source(self) -> HubSource:
        return KNOWN_SETS[self.name].source

    def label(self) -> str:
        return self.name

    def _size_mb(self) -> float | None:
        return KNOWN_SETS[self.name].size_mb

    def _is_listed(self) -> bool:
        return super()._is_listed() and (not self._has_list() or ids_file(KNOWN_SETS[self.name]).is_file())

    def _is_part(self) -> bool:
        return super()._is_part() or self._has_list()


class FolderSet(Selection):
    """Audio files in a folder and below: the id is the path without its suffix, the speaker the first sub-folder, the text NAME.txt.

    A folder in the layout of a corpus that is known (`bench list corpora`) is read as that; `corpus: files` reads it as files alone.

    folder    or one file
    text      a folder or file of texts, in any form of `corpora.texts_of`, in place of those beside the audio
    """

    folder: str
    text: str | None = None
    name: str | None = None
    language: Tag = ""

    def listing(self, base_dir: Path) -> Dataset:
        folder = resolved(base_dir, self.folder)
        if not folder.exists():
            raise UserError(f"{folder}: is no folder")
        corpus = None if folder.is_file() and is_audio(folder) else recognised(folder)
        if corpus is None and folder.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            raise UserError(
                f"{folder}: is neither audio nor a manifest of lhotse or NeMo; one of lines with `id` and `path` is given as `manifest:`"
            )
        if corpus is None:
            found = read_files(folder, self.name, self.language)
        else:
            found = read_corpus(corpus, folder, (), self.name, self.language)
        return found if self.text is None else with_texts(found, resolved(base_dir, self.text))

    def label(self) -> str:
        return self.name or self.folder


class CorpusSet(Selection):
    """A corpus in the layout in which it is downloaded.

    corpus      a layout: libritts, vctk, kaldi ... or `files`
    path        its folder, or the folder of one of its splits; of a manifest or a table the file
    split       which of its parts; without it the test part
    language    of all utterances, in place of what the corpus states
    """

    corpus: str
    path: str
    split: Strings = ()
    name: str | None = None
    language: Tag = ""

    @field_validator("corpus")
    @classmethod
    def _is_known(cls, corpus: str) -> str:
        if corpus not in CORPORA:
            raise ValueError(unknown("corpus", corpus, CORPORA))
        return corpus

    def listing(self, base_dir: Path) -> Dataset:
        path = resolved(base_dir, self.path)
        if not path.exists():
            raise UserError(f"{path}: does not exist")
        if self.corpus != FILES:
            return read_corpus(self.corpus, path, self.split, self.name, self.language)
        if not path.is_dir():
            raise UserError(f"{path}: is no folder")
        return read_files(path, self.name, self.language)

    def label(self) -> str:
        return self.name or self.path


class ManifestSet(Selection):
    """JSONL, one utterance a line: id, path (relative to the file), text, speaker, language; other keys are left alone. Or CSV, TSV."""

    manifest: str
    name: str | None = None

    def listing(self, base_dir: Path) -> Dataset:
        path = resolved(base_dir, self.manifest)
        name = self.name or (path.parent.name if path.stem == "manifest" else path.stem)
        return read_corpus("table", path, (), name) if table.parts(path) else read_manifest(path, name)

    def label(self) -> str:
        return self.name or self.manifest


class HubSet(HubSource, FetchedSet):
    """Any parquet data set of the hub."""

    name: str | None = None

    def _source(self) -> HubSource:
        return HubSource(**{key: getattr(self, key) for key in HubSource.model_fields if key in self.model_fields_set})

    def label(self) -> str:
        return self.name or "/".join(part for part in (self.hf, self.config, self.split) if part)


DatasetSpec = BundledSet | NamedSet | FolderSet | CorpusSet | ManifestSet | HubSet
_FORMS: dict[str, type[DatasetSpec]] = {"folder": FolderSet, "corpus": CorpusSet, "manifest": ManifestSet, "hf": HubSet, "name": NamedSet}


def parse_spec(value: Any) -> DatasetSpec:
    """The data set that a suite asks for: a name, or a mapping with one of `folder`, `corpus`, `manifest`, `hf` and `name`.

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

    Fetches what of it is not on this machine (Unavailable where it can not). UserError names the mistakes of a manifest by line.
    """
    found = spec.listing(base_dir)
    wanted = spec.with_audio(spec.wanted(found.entries, base_dir, seed), base_dir)
    entries = spec.selected(wanted, seed)
    if not entries:
        raise UserError(f"data set {found.name}: none of its {len(found.entries)} utterances is selected")
    return dataclasses.replace(found, entries=tuple(entries))


def needs(spec: DatasetSpec, base_dir: Path, seed: int = 0) -> list[Need]:
    """The remote files of `spec`, on this machine or not, each with the command that gets it. `seed`: of the suite, which draws `limit`."""
    return spec.needs(base_dir, seed)


def _files(base_dir: Path, patterns: Sequence[str]) -> tuple[Path, ...]:
    """Files that `patterns` (paths, globs, folders of parquet files) stand for, in order."""
    files: list[Path] = []
    for pattern in patterns:
        path = resolved(base_dir, pattern)
        matches = sorted(path.rglob("*.parquet")) if path.is_dir() else sorted(path.parent.glob(path.name))
        if not matches:
            raise Unavailable(f"put the parquet files at {path}; nothing is there")
        files += matches
    return tuple(files)


def _listed_in(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose ids begin the lines of the file; all of them must be there."""
    known = {entry.id for entry in entries}
    lines = [line.strip() for line in text_of(path).split("\n") if line.strip()]
    wanted = {line if line in known else line.split()[0] for line in lines}  # ids may hold spaces
    if missing := sorted(wanted - known):
        hint = meant(missing[0], known)
        raise UserError(f"{path}: {len(missing)} of its {len(wanted)} ids are not in the data set, the first: {missing[0]}{hint}")
    return [entry for entry in entries if entry.id in wanted]
