"""Data sets of the Hugging Face hub as plain files: what is known of them by name, and the cache that holds what was asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import track

from bench import audio, checkpoint
from bench.datasets.cells import given
from bench.errors import Unavailable, UserError, unknown
from bench.files import check_regular, write_bytes
from bench.language import Tag

_ROWS_AT_ONCE = 32
_HUB = "hf://"


class HubSource(BaseModel):
    """One split on the hub, and the columns of its parquet rows.

    revision    commit; None takes what the hub has when it is first fetched, records that commit and stays with it
    audio       column of {bytes, path}
    text        null for none; so too `id` (numbers the rows) and `speaker`. A column that is only a default may be absent
    language    BCP-47 primary tag of all rows
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hf: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    audio: str = "audio"
    text: str | None = "text"
    id: str | None = "id"
    speaker: str | None = "speaker_id"
    language: Tag = ""


@dataclass(frozen=True)
class RowGroup:
    """A run of rows of a parquet file: the least that can be read of it.

    place        path of the file, or its hf:// address with the commit
    index        among the row groups of the file
    first_row    among the rows of the split
    num_bytes    of the encoded audio
    """

    place: str
    index: int
    first_row: int
    num_rows: int
    num_bytes: int

    @property
    def rows(self) -> range:
        return range(self.first_row, self.first_row + self.num_rows)


@dataclass(frozen=True)
class Split:
    """A split of the hub, or local parquet `files` in its place, as a folder of plain files that grows by what is asked for.

    manifest.jsonl lists every row, source.json says of which commit, files and row groups they are, and audio/ holds the recordings
    fetched so far, encoded as they are in the rows. A part and the whole come the same way, by ranged reads: first of the columns
    beside the audio, then of the audio of those row groups that hold something asked for and not here yet. A fetch that was killed
    therefore goes on where it was, and what is added later is of the commit that was listed.
    """

    source: HubSource
    files: tuple[Path, ...] = ()

    @cached_property
    def folder(self) -> Path:
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        digest = hashlib.sha256(json.dumps([self.source.model_dump(), stats]).encode()).hexdigest()
        parts = (self.source.hf, self.source.config, self.source.split)
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in parts if part))
        return checkpoint.cache_folder() / "datasets" / f"{readable}-{digest[:12]}"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.jsonl"

    @property
    def commit(self) -> str:
        """The hub's commit that is listed; "" for local files."""
        return str(self._about()["commit"])

    def list_rows(self) -> None:
        """Writes the manifest on first use, without any recording. Raises Unavailable where the hub is out of reach."""
        if self.manifest.is_file():
            return
        unfinished = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            self._write_listing(unfinished)
            try:
                unfinished.rename(self.folder)
            except OSError:
                # Another process may have been quicker; its folder holds the same, or a later commit that both then stay with.
                if not self.manifest.is_file():
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def lacking(self, recordings: Iterable[Path]) -> list[RowGroup]:
        """What fetch() would read for `recordings`, which are paths of the manifest."""
        absent = {_row_of(path) for path in recordings if not path.is_file()}
        return [group for group in self._row_groups() if not absent.isdisjoint(group.rows)] if absent else []

    def fetch(self, recordings: Collection[Path]) -> None:
        """Puts `recordings`, paths of the manifest, in their places. Raises Unavailable where the hub is out of reach."""
        absent = {_row_of(path): path for path in recordings if not path.is_file()}
        what = f"data set {self.source.hf}: not all of the {len(recordings)} utterances asked for are on this machine"
        console = Console(stderr=True, emoji=False)
        title = f"row groups of {self.source.hf}"
        groups = track(self.lacking(absent.values()), title, console=console, transient=True, disable=not console.is_terminal)
        found = 0
        for place, of_file in itertools.groupby(groups, key=lambda group: group.place):
            for row, content in self._audio(place, of_file, what):
                if row in absent:
                    found += bool(content)
                    write_bytes(absent[row], content)
        if absent and not found:
            for path in absent.values():
                path.unlink(missing_ok=True)
            raise UserError(
                f"data set {self.source.hf}: column '{self.source.audio}' holds no bytes, only paths to files elsewhere; "
                "take the folder that they are in by `folder:`, or a data set with the audio in its rows"
            )

    def _about(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "source.json").read_text(encoding="utf-8")))

    def _row_groups(self) -> list[RowGroup]:
        files = self._about()["files"]
        places = [str(file) for file in self.files] or [file["place"] for file in files]  # local ones may have been moved
        groups: list[RowGroup] = []
        first_row = 0
        for place, file in zip(places, files, strict=True):
            for index, (num_rows, num_bytes) in enumerate(file["row_groups"]):
                groups.append(RowGroup(place, index, first_row, num_rows, num_bytes))
                first_row += num_rows
        return groups

    def _write_listing(self, folder: Path) -> None:
        what = f"data set {self.source.hf} is not on this machine"
        places, commit = ([str(file) for file in self.files], "") if self.files else self._locate(what)
        (folder / "audio").mkdir(parents=True)
        files = []
        numbers = itertools.count()
        with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
            for place in places:
                with self._opened(place, what) as parquet:
                    columns = _columns(self.source, parquet.schema_arrow, place)
                    batches = parquet.iter_batches(columns=list(columns.values()))
                    rows = [row for batch in batches for row in batch.to_pylist()]
                    files.append({"place": place, "row_groups": _sizes(parquet.metadata, f"{self.source.audio}.bytes")})
                for row, number in zip(rows, numbers):
                    manifest.write(json.dumps(_facts(self.source, columns, row, number, place), ensure_ascii=False) + "\n")
        about = {**self.source.model_dump(), "commit": commit, "files": files}
        (folder / "source.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def _locate(self, what: str) -> tuple[list[str], str]:
        """Addresses of the split's parquet files, pinned to a commit, and that commit."""
        # Which files make a split is for the set's card to say, and for this library to read; the part of it that loads rows would
        # fetch every split of the configuration, which for LibriTTS means the training speech too.
        import datasets

        with self._reading(self.source.hf, what):
            try:
                builder = datasets.load_dataset_builder(self.source.hf, self.source.config, revision=self.source.revision)
                return _split_files(builder, self.source), str(builder.hash)
            except ValueError as error:
                raise UserError(f"data set {self.source.hf}: {error}") from None

    def _audio(self, place: str, groups: Iterable[RowGroup], what: str) -> Iterator[tuple[int, bytes]]:
        """Each row of `groups`, which are of the file at `place`, and its encoded recording; b"" where it has none."""
        column = self.source.audio
        with self._opened(place, what) as parquet:
            for group in groups:
                batches = parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[group.index], columns=[f"{column}.bytes"])
                cells = (cell for batch in batches for cell in batch.column(column).to_pylist())
                for row, cell in zip(group.rows, cells, strict=True):
                    yield row, (cell or {}).get("bytes") or b""

    @contextmanager
    def _opened(self, place: str, what: str) -> Iterator[Any]:
        # pyarrow rather than datasets: the latter decodes audio with torchcodec, which not every machine can load.
        import pyarrow
        import pyarrow.parquet

        with self._reading(place, what), _open(place) as file:
            try:
                parquet = pyarrow.parquet.ParquetFile(file, pre_buffer=True)
            except pyarrow.ArrowInvalid as error:
                raise UserError(f"{place}: is no parquet file ({error})") from None
            yield parquet

    @contextmanager
    def _reading(self, place: str, what: str) -> Iterator[None]:
        """Turns what can go wrong with the hub, or with a local file, into one line."""
        from huggingface_hub.errors import HTTPError  # of its client; a lost connection is no OSError there

        advice = "fetch it where there is a network (what has come is kept), or name local `data_files:`"
        if not self.files and checkpoint.offline():
            raise Unavailable(f"{what} (HF_HUB_OFFLINE is set); {advice}")
        try:
            yield
        except (OSError, HTTPError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if self.files:
                raise UserError(f"{place}: {reason}") from error
            raise Unavailable(f"{what} ({reason}); {advice}") from error


def _split_files(builder: Any, source: HubSource) -> list[str]:
    """Addresses of the split's parquet files on the hub."""
    splits = builder.config.data_files or {}
    if builder.name != "parquet":
        raise ValueError(f"is stored as {builder.name}, not as parquet; try `revision: refs/convert/parquet`, or a local `folder:`")
    if source.split not in splits:
        raise ValueError(unknown("split", source.split, splits))
    places = [str(place) for place in splits[source.split]]
    if not all(place.startswith(_HUB) for place in places):
        raise ValueError(f"{places[0]} is no file of the hub; local parquet goes under `data_files:`")
    return places


def _open(place: str) -> Any:
    if not place.startswith(_HUB):
        check_regular(Path(place))
        return open(place, "rb")
    from huggingface_hub import HfFileSystem

    # No read-ahead: what follows a column of the listing is audio.
    return HfFileSystem().open(place, cache_type="none")


def _columns(source: HubSource, schema: Any, place: str) -> dict[str, str]:
    """The columns of the listing, ours -> theirs; those that the file lacks are left out. Of the audio it is the name of the recording."""
    wanted = {"audio": source.audio, "text": source.text, "id": source.id, "speaker": source.speaker}
    columns = {ours: theirs for ours, theirs in wanted.items() if theirs is not None and theirs in schema.names}
    for ours, theirs in wanted.items():
        if theirs and ours not in columns and (ours == "audio" or ours in source.model_fields_set):
            raise UserError(f"{place}: {unknown(f'column ({ours})', theirs, schema.names)}")
    if twice := [name for name in columns.values() if schema.names.count(name) > 1]:
        raise UserError(f"{place}: column '{twice[0]}' comes twice")
    kind = schema.field(columns.pop("audio")).type
    fields = {kind.field(index).name for index in range(kind.num_fields)}
    if "bytes" not in fields:
        raise UserError(f"{place}: column '{source.audio}' holds {kind}, not audio as {{bytes, path}}")
    return {**columns, "audio": f"{source.audio}.path"} if "path" in fields else columns


def _facts(source: HubSource, columns: dict[str, str], row: dict[str, Any], number: int, place: str) -> dict[str, Any]:
    """The line of the manifest."""
    known = {}
    for ours, theirs in columns.items():
        if ours != "audio":
            try:
                known[ours] = given(row[theirs])
            except ValueError as error:
                raise UserError(f"{place}: row {number}: column '{theirs}' {error}") from None
    suffix = PurePosixPath((row.get(source.audio) or {}).get("path") or "").suffix
    return {
        "id": _stem(known.get("id") or f"{number:06d}"),
        "path": f"audio/{number:06d}{suffix or '.audio'}",
        "text": known.get("text"),
        "speaker": known.get("speaker"),
        "language": source.language,
    }


def _row_of(path: Path) -> int:
    """Row of the split whose recording has this name in the manifest."""
    return int(path.stem)


def _sizes(metadata: Any, column: str) -> list[tuple[int, int]]:
    """Rows of each row group, and bytes of its `column`."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [[group.column(index) for index in range(group.num_columns)] for group in groups]
    sizes = [sum(chunk.total_compressed_size for chunk in of_group if chunk.path_in_schema == column) for of_group in chunks]
    return [(group.num_rows, size) for group, size in zip(groups, sizes, strict=True)]


def _stem(identifier: str) -> str:
    """A file's name is an id without its suffix, with the folders that tell it from others of that name; FLEURS has no other ids."""
    path = PurePosixPath(identifier.replace("\\", "/"))
    if path.suffix.lower() not in audio.SUFFIXES:
        return identifier
    return path.stem if path.is_absolute() else str(path.with_suffix(""))
