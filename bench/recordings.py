"""Audio decoded elsewhere, paired with utterances by id: any published samples can be scored, at the rates that they state."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from bench.codec import CodecInfo, Kind, OperatingPoint
from bench.datasets.cells import amount, given, json_lines, meant, whole_amount
from bench.datasets.layout import table_rows
from bench.errors import UserError, listed, unknown
from bench.folders import audio_files, paired

V = TypeVar("V")
KINDS = ("fixed", "dynamic", "classical", "recordings")
TABLES = (".csv", ".tsv")
_NAMED = 8  # ids in a message
INFO = CodecInfo("recordings", "Recordings made elsewhere", licence="as stated by whoever made them")


@dataclass(frozen=True)
class Recording:
    """One decoded file. `reference`, where the manifest gives one, replaces the dataset's audio (it may be cropped).

    bitrate    bit/s, as stated; frame_rate Hz, as stated; 0 where the manifest says nothing
    """

    utterance: str
    path: Path
    reference: Path | None
    frame_rate: float
    bitrate: float
    n_q: int


@dataclass(frozen=True)
class RecordedFolder:
    """A folder (or one file) of decoded audio: one point of a codec, whose files pair with utterances by their paths.

    pair       how, see `folders.paired`
    bitrate    bit/s, as stated; frame_rate Hz, as stated; 0 where nobody says
    """

    path: Path
    point: str
    pair: str = ""
    frame_rate: float = 0.0
    bitrate: float = 0.0

    def recordings(self, utterances: Collection[str]) -> dict[str, Recording]:
        """By utterance; what belongs to none by its path."""
        files = audio_files(self.path)
        pairs = paired(files, utterances, self.pair)
        spare = files.keys() - set(pairs.values())
        root = self.path if self.path.is_dir() else self.path.parent
        named = {**{id: files[name] for id, name in pairs.items()}, **{str(files[name].relative_to(root)): files[name] for name in spare}}
        return {id: Recording(id, path, None, self.frame_rate, self.bitrate, 0) for id, path in named.items()}


@dataclass(frozen=True)
class System:
    """What one codec made: a codec of its own in every table and curve.

    name     "" where the manifest names none
    kind     "recordings" where the manifest says nothing
    family   the curve that it shares with other codecs of a suite; "" for one of its own
    points   point -> utterance id -> recording
    """

    name: str
    kind: Kind
    family: str
    points: dict[str, dict[str, Recording]] = field(default_factory=dict)

    def operating_points(self) -> dict[str, OperatingPoint]:
        """A point for each variant, with the rates that its first recording states."""
        first = {name: next(iter(rows.values())) for name, rows in self.points.items()}
        return {name: OperatingPoint(name, recording.frame_rate, recording.n_q) for name, recording in first.items()}


def read_systems(manifest: Path) -> dict[str, System]:
    """Name -> system, of a manifest (JSONL, or CSV and TSV with a header): id, variant (the point), path, and if known system, kind (one of
    KINDS) and family, reference, frame_rate_hz, bitrate_kbps, n_q. Paths are relative to the manifest. UserError names file, line and key.
    """
    systems: dict[str, System] = {}
    for number, row in _rows(manifest):
        where = f"{manifest}:{number}"
        if not isinstance(row, dict):
            raise UserError(f"{where}: a line is a mapping with the keys id, variant and path, not {json.dumps(row)[:80]}")
        texts = {key: _cell(given, row, key, where) for key in ("id", "variant")}  # which may be numbers
        texts |= {key: _cell(_words, row, key, where) for key in ("path", "reference", "system", "kind", "family")}
        if missing := [key for key in ("id", "variant", "path") if texts[key] is None]:
            raise UserError(f"{where}: key '{missing[0]}' is missing or empty")
        utterance, variant = str(texts["id"]), str(texts["variant"])
        recording = Recording(
            utterance=utterance,
            path=manifest.parent / str(texts["path"]),
            reference=manifest.parent / texts["reference"] if texts["reference"] else None,
            frame_rate=_cell(amount, row, "frame_rate_hz", where),
            bitrate=1000 * _cell(amount, row, "bitrate_kbps", where),
            n_q=_cell(whole_amount, row, "n_q", where),
        )
        for path in (recording.path, recording.reference):
            if path is not None and not _is_file(path):
                raise UserError(f"{where}: no file {str(path)!r}" if "\0" in str(path) else f"{where}: no file {path}")
        stated = _system(texts, where)
        system = systems.setdefault(stated.name, stated)
        for key in ("kind", "family"):
            if getattr(system, key) != getattr(stated, key):
                raise UserError(
                    f"{where}: key '{key}': system '{system.name}' is '{getattr(stated, key)}' here, '{getattr(system, key)}' before"
                )
        rows = system.points.setdefault(variant, {})
        if recording.utterance in rows:
            raise UserError(f"{where}: '{recording.utterance}' comes twice in variant '{variant}'")
        rows[recording.utterance] = recording
    if "" in systems and len(systems) > 1:
        raise UserError(f"{manifest}: key 'system': some lines name one ({', '.join(filter(None, systems))}), others name none")
    return systems


def _rows(manifest: Path) -> Iterator[tuple[int, Any]]:
    return table_rows(manifest) if manifest.suffix.lower() in TABLES else json_lines(manifest)


def points_of(
    manifest: Path | None, system: str, folders: Sequence[RecordedFolder], utterances: Collection[str]
) -> Mapping[str, Mapping[str, Recording]]:
    """Point -> utterance -> recording, of a `system` of the manifest, or of folders."""
    if manifest is not None:
        return read_systems(manifest)[system].points
    return {folder.point: folder.recordings(utterances) for folder in folders}


def _system(texts: Mapping[str, str | None], where: str) -> System:
    kind = texts["kind"] or "recordings"
    if kind not in KINDS:
        raise UserError(f"{where}: {unknown('kind', kind, KINDS)}")
    return System(texts["system"] or "", cast(Kind, kind), texts["family"] or "")


def _cell(read: Callable[[Any], V], row: Mapping[str, Any], key: str, where: str) -> V:
    try:
        return read(row.get(key))
    except ValueError as error:
        raise UserError(f"{where}: key '{key}' {error}") from None


def _words(value: Any) -> str | None:
    text = given(value)
    if text is not None and not isinstance(value, str):
        raise ValueError(f"is no text: {json.dumps(value)}")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def pairing(points: Mapping[str, Mapping[str, Recording]], utterances: Collection[str], what: str) -> list[str]:
    """What does not pair, in lines to be shown: utterances without a recording by point, recordings without an utterance.

    what   the codec's label and its manifest, for the messages
    UserError where nothing pairs at all.
    """
    known = set(utterances)
    made = {utterance for recordings in points.values() for utterance in recordings}
    if not made & known:
        first = next(iter(made), "none")
        hint = meant(first, known)
        raise UserError(f"{what}: none of its {len(made)} ids is an utterance of the suite's data; the first: '{first}'{hint}")
    lines = []
    for point, recordings in points.items():
        if missing := [utterance for utterance in utterances if utterance not in recordings]:
            hint = meant(missing[0], set(recordings))
            where = f"{what}: {point}" if len(points) > 1 else what
            lines.append(f"{where}: {len(missing)} of {len(known)} utterances have no recording: {listed(missing, _NAMED)}{hint}")
    if spare := sorted(made - known):
        hint = meant(spare[0], known)
        lines.append(f"{what}: {len(spare)} of its {len(made)} ids are no utterances here: {listed(spare, _NAMED)}{hint}")
    return lines


def check_length(length: int, expected: int, sample_rate: int, tolerance_s: float | None = None) -> None:
    """ValueError where a recording is longer or shorter than its reference by more than 100 ms and 1 %, or than `tolerance_s`."""
    allowed_s = max(0.1, 0.01 * expected / sample_rate) if tolerance_s is None else tolerance_s
    off_s = (length - expected) / sample_rate
    if abs(off_s) > allowed_s:
        more = "longer" if off_s > 0 else "shorter"
        raise ValueError(f"the recording is {abs(off_s):.3f} s {more} than its reference, more than {allowed_s:.3g} s (length_tolerance_s)")
