"""Audio decoded elsewhere, paired with utterances by id: any published samples can be scored, at the rates that they state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.codec import CodecInfo, OperatingPoint
from bench.errors import UserError

INFO = CodecInfo("recordings", "Recordings made elsewhere", licence="as stated by whoever made them")


@dataclass(frozen=True)
class Recording:
    """One decoded file. `reference`, where the manifest gives one, replaces the dataset's audio (it may be cropped).

    bitrate    bit/s, as stated; frame_rate Hz, as stated; 0 where the manifest says nothing
    """

    utterance: str
    point: str
    path: Path
    reference: Path | None
    frame_rate: float
    bitrate: float
    n_q: int


def read_recordings(manifest: Path) -> Mapping[str, Mapping[str, Recording]]:
    """Point -> utterance id -> recording, of a JSONL manifest: id, variant (the point), path, and if known reference, frame_rate_hz,
    bitrate_kbps, n_q. Paths are relative to the manifest. UserError names file, line and key.
    """
    points: dict[str, dict[str, Recording]] = {}
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
            point=row["variant"],
            path=manifest.parent / row["path"],
            reference=manifest.parent / row["reference"] if row.get("reference") else None,
            frame_rate=float(row.get("frame_rate_hz") or 0),
            bitrate=1000 * float(row.get("bitrate_kbps") or 0),
            n_q=int(row.get("n_q") or 0),
        )
        for path in (recording.path, recording.reference):
            if path is not None and not path.is_file():
                raise UserError(f"{where}: no file {path}")
        if recording.utterance in points.setdefault(recording.point, {}):
            raise UserError(f"{where}: '{recording.utterance}' comes twice in variant '{recording.point}'")
        points[recording.point][recording.utterance] = recording
    return points


def operating_points(recordings: Mapping[str, Mapping[str, Recording]]) -> dict[str, OperatingPoint]:
    """A point for each variant, with the rates that its first recording states."""
    first = {name: next(iter(rows.values())) for name, rows in recordings.items()}
    return {name: OperatingPoint(name, recording.frame_rate, recording.n_q) for name, recording in first.items()}
