"""VCTK 0.92: wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER_mic1.flac, txt/SPEAKER/SPEAKER_NUMBER.txt; and 0.80, which has one microphone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.dataset import Entry
from bench.datasets.cells import given, text_of
from bench.datasets.layout import audio_in, folders_that

TITLE = "VCTK"
DEFAULT = "mic1"
_TRIMMED, _OLDER, _TEXTS = "wav48_silence_trimmed", "wav48", "txt"


def parts(path: Path) -> Mapping[str, Path]:
    """The microphones: each holds the same utterances, so one of them is taken."""
    found = folders_that(lambda folder: (folder / _TEXTS).is_dir() and _recordings(folder).is_dir(), path, depth=1)
    if len(found) != 1:
        return {}
    (folder,) = found.values()
    return {"mic1": folder, "mic2": folder} if (folder / _TRIMMED).is_dir() else {"": folder}


def entries(name: str, part: Path) -> Sequence[Entry]:
    ending = f"_{name}" if name else ""
    found = []
    for path in audio_in(_recordings(part), f"*/*{ending}.*"):
        identifier, speaker = path.stem.removesuffix(ending), path.parent.name
        text = part / _TEXTS / speaker / f"{identifier}.txt"  # p315 has none
        found.append(Entry(identifier, path, given(text_of(text).strip()) if text.is_file() else None, speaker, "en"))
    return found


def _recordings(folder: Path) -> Path:
    return folder / _TRIMMED if (folder / _TRIMMED).is_dir() else folder / _OLDER
