"""Training audio: decoded once into one int16 array, then cut into random crops that depend on nothing but seed and index."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from bench import audio as audio_files
from bench.codecs.training.recipe import Data
from bench.errors import Unavailable, UserError, unknown
from bench.files import write_atomically


@dataclass(frozen=True)
class Clip:
    """One recording of the store: samples[start:stop]."""

    id: str
    start: int
    stop: int
    speaker: str
    corpus: str
    text: str | None


@dataclass(frozen=True)
class AudioStore:
    """All training audio as one memory-mapped int16 array at one sample rate."""

    samples: np.ndarray
    clips: tuple[Clip, ...]
    sample_rate: int

    def audio(self, clip: Clip) -> np.ndarray:
        """float32 [T] in [-1, 1]."""
        return self.samples[clip.start : clip.stop].astype(np.float32) / 32768.0


def open_store(data: Data, recipe_folder: Path, cache: Path) -> AudioStore:
    """The store of `data`, decoded into `cache` on first use; paths are relative to the recipe."""
    source = data.hf or str((recipe_folder / (data.manifest or data.folder or "")).resolve())
    identity = (source, data.hf_config, data.hf_split, data.hf_revision, data.hf_text, data.sample_rate)
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    index, array = cache / f"{key}.json", cache / f"{key}.int16"
    if not index.exists():
        rows: list[dict[str, Any]] = []

        def fill(partial: Path) -> None:
            position = 0
            with partial.open("wb") as file:
                for row, samples in recordings(data, recipe_folder):
                    file.write(samples.tobytes())
                    rows.append({**row, "start": position, "stop": position + len(samples)})
                    position += len(samples)
            if not rows:
                raise UserError(f"{source}: no audio found")

        write_atomically(array, fill)
        write_atomically(index, lambda partial: partial.write_text(json.dumps(rows)))
    clips = tuple(Clip(**row) for row in json.loads(index.read_text()))
    return AudioStore(np.memmap(array, dtype=np.int16, mode="r"), clips, data.sample_rate)


def recordings(data: Data, recipe_folder: Path) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Every recording's row (id, speaker, corpus, text) and its int16 samples at the store's rate."""
    if data.manifest is not None:
        manifest = recipe_folder / data.manifest
        if not manifest.exists():
            raise UserError(f"{manifest}: no such manifest")
        for line in manifest.read_text().splitlines():
            entry = json.loads(line)
            row = {"id": entry["id"], "speaker": entry.get("speaker") or "", "corpus": entry.get("corpus") or "", "text": entry.get("text")}
            yield row, decode(manifest.parent / entry["path"], data.sample_rate)
    elif data.folder is not None:
        folder = recipe_folder / data.folder
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in audio_files.SUFFIXES):
            text = path.with_suffix(".txt")
            speaker = "" if path.parent == folder else path.parent.name
            row = {"id": path.stem, "speaker": speaker, "corpus": "", "text": text.read_text().strip() if text.exists() else None}
            yield row, decode(path, data.sample_rate)
    else:
        yield from hub_recordings(data)


def hub_recordings(data: Data) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Of a data set that the `datasets` library loads, by name or from a folder; its encoded audio is read by this project's own reader."""
    from datasets import Audio, load_dataset

    try:
        rows = load_dataset(data.hf, data.hf_config, split=data.hf_split, revision=data.hf_revision)
    except OSError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unavailable(f"data.hf: {data.hf} is not on this machine ({reason}); train where there is a network") from error
    except ValueError as error:  # its own words name the configurations and splits
        raise UserError(f"data.hf: {data.hf}: {error}") from None
    needed = {"audio", data.hf_text} if "hf_text" in data.model_fields_set else {"audio"}
    if missing := sorted(needed - set(rows.column_names)):
        raise UserError(f"data.hf: {data.hf}: {unknown('column', missing[0], rows.column_names)}")
    for number, entry in enumerate(rows.cast_column("audio", Audio(decode=False))):
        speaker = entry.get("speaker_id")
        row = {
            "id": str(entry.get("id", number)),
            "speaker": "" if speaker is None else str(speaker),
            "corpus": data.hf or "",
            "text": entry.get(data.hf_text),
        }
        cell = entry["audio"] or {}
        if not cell.get("bytes"):
            raise UserError(f"data.hf: {data.hf}: row {number} ({row['id']}) holds no audio")
        with tempfile.NamedTemporaryFile(suffix=Path(cell["path"] or "").suffix) as file:
            file.write(cell["bytes"])
            file.flush()
            yield row, decode(Path(file.name), data.sample_rate)


def decode(path: Path, sample_rate: int) -> np.ndarray:
    """int16 [T] at `sample_rate`."""
    try:
        samples, source_rate = audio_files.read(path)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    resampled = audio_files.resample(samples, source_rate, sample_rate)
    return (np.clip(resampled, -1.0, 32767 / 32768) * 32768.0).round().astype(np.int16)


def split(store: AudioStore, held_out: int) -> tuple[list[Clip], list[Clip]]:
    """Training clips, and `held_out` validation clips of 3 to 12 s, spread evenly over the speakers that are then left out of training.

    A clip whose speaker is not known counts as a speaker of its own.
    """
    first: dict[str, Clip] = {}
    for clip in store.clips:
        if 3 <= (clip.stop - clip.start) / store.sample_rate <= 12:
            first.setdefault(clip.speaker or clip.id, clip)
    candidates = list(first.values())
    validation = [candidates[i * len(candidates) // held_out] for i in range(min(held_out, len(candidates)))]
    left_out = {clip.speaker or clip.id for clip in validation}
    training = [clip for clip in store.clips if (clip.speaker or clip.id) not in left_out]
    if not training or not validation:
        raise UserError(f"data.held_out: {held_out} speakers held out of {len(first)} with clips of 3 to 12 s leave too little")
    return training, validation


class Crops(Dataset[Tensor]):
    """Crop number i, float32 [T]: a function of the seed and i alone, so that a resumed training sees what an unbroken one would."""

    def __init__(self, store: AudioStore, clips: list[Clip], data: Data, seed: int, length: int) -> None:
        self.store, self.clips, self.data, self.seed, self.length = store, clips, data, seed, length
        self.crop = round(data.crop_s * data.sample_rate)
        mass = np.array([(clip.stop - clip.start) * data.weights.get(clip.corpus, 1.0) for clip in clips], dtype=np.float64)
        self.cumulative = np.cumsum(mass / mass.sum())

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        random = np.random.default_rng((self.seed, index))
        clip = self.clips[min(int(np.searchsorted(self.cumulative, random.random())), len(self.clips) - 1)]
        start = clip.start + int(random.integers(0, max(clip.stop - clip.start - self.crop, 0) + 1))
        samples = self.store.samples[start : min(start + self.crop, clip.stop)].astype(np.float32) / 32768.0
        samples = np.pad(samples, (0, self.crop - len(samples)))
        return torch.from_numpy(vary(samples, self.data, random))


def vary(samples: np.ndarray, data: Data, random: np.random.Generator) -> np.ndarray:
    """float32 [T] at a random level and, half of the time, over a random noise, as `data` has it."""
    gain = 10 ** (random.uniform(-data.gain_db, data.gain_db) / 20)
    # a louder crop must not clip: the codec would be asked to reproduce samples outside of [-1, 1]
    gain = min(gain, 1.0 / max(float(np.abs(samples).max()), 1e-4))
    varied = samples * np.float32(gain)
    if data.noise_dbfs is not None and random.random() < 0.5:
        varied += coloured_noise(len(varied), random.uniform(*data.noise_dbfs), random)
    return varied


def coloured_noise(length: int, level_dbfs: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise float32 [T] whose power falls as 1 / f^a, a drawn from 0..2, at an RMS of `level_dbfs`."""
    spectrum = np.fft.rfft(random.standard_normal(length).astype(np.float32))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (random.uniform(0.0, 2.0) / 2)
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, length)
    return (noise * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(noise**2)))).astype(np.float32)


class FromStep(Sampler[int]):
    """Crop numbers of one of `world_size` devices, from `first` on, while its length stays that of the whole training."""

    def __init__(self, first: int, length: int, rank: int, world_size: int) -> None:
        self.first, self.length, self.rank, self.world_size = first, length, rank, world_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first + self.rank, self.length, self.world_size))

    def __len__(self) -> int:
        return self.length // self.world_size


def crop_loader(crops: Crops, batch_size: int, first_step: int, rank: int, world_size: int) -> DataLoader[Tensor]:
    """This device's part [B, T] of each batch from step `first_step` on; `batch_size` counts all devices."""
    if batch_size % world_size:
        raise UserError(f"data.batch_size: {batch_size} crops can not be shared evenly by {world_size} devices")
    sampler = FromStep(first_step * batch_size, len(crops), rank, world_size)
    return DataLoader(crops, batch_size=batch_size // world_size, sampler=sampler, num_workers=crops.data.workers, drop_last=True)
