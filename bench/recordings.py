"""Audio decoded elsewhere, paired with utterances by id: any published samples can be scored, at the rates that they state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.codec import CodecInfo, Kind, OperatingPoint
from bench.errors import UserError, unknown

KINDS = ("fixed", "dynamic", "classical", "recordings")
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
    """Name -> system, of a JSONL manifest: id, variant (the point), path, and if known system, kind (one of KINDS) and family, reference,
    frame_rate_hz, bitrate_kbps, n_q. Paths are relative to the manifest. UserError names file, line and key.
    """
    systems: dict[str, System] = {}
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{manifest}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{manifest}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON: {error.msg}") from None
        if missing := [key for key in ("id", "variant", "path") if not isinstance(row.get(key), str)]:
            raise UserError(f"{where}: key '{missing[0]}' is missing or no text")
        recording = Recording(
            utterance=row["id"],
            path=manifest.parent / row["path"],
            reference=manifest.parent / row["reference"] if row.get("reference") else None,
            frame_rate=float(row.get("frame_rate_hz") or 0),
            bitrate=1000 * float(row.get("bitrate_kbps") or 0),
            n_q=int(row.get("n_q") or 0),
        )
        for path in (recording.path, recording.reference):
            if path is not None and not path.is_file():
                raise UserError(f"{where}: no file {path}")
        stated = _system(row, where)
        system = systems.setdefault(stated.name, stated)
        for key in ("kind", "family"):
            if getattr(system, key) != getattr(stated, key):
                raise UserError(
                    f"{where}: key '{key}': system '{system.name}' is '{getattr(stated, key)}' here, '{getattr(system, key)}' before"
                )
        rows = system.points.setdefault(row["variant"], {})
        if recording.utterance in rows:
            raise UserError(f"{where}: '{recording.utterance}' comes twice in variant '{row['variant']}'")
        rows[recording.utterance] = recording
    if "" in systems and len(systems) > 1:
        raise UserError(f"{manifest}: key 'system': some lines name one ({', '.join(filter(None, systems))}), others name none")
    return systems


def _system(row: Mapping[str, object], where: str) -> System:
    stated = {key: row.get(key) or "" for key in ("system", "kind", "family")}
    for key, value in stated.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: key '{key}' is no text: {json.dumps(value)}")
    kind = str(stated["kind"] or "recordings")
    if kind not in KINDS:
        raise UserError(f"{where}: {unknown('kind', kind, KINDS)}")
    return System(str(stated["system"]), cast(Kind, kind), str(stated["family"]))
