"""A reader of README: its blocks, and the files that its examples take for granted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench import audio
from bench.checkpoint import SHIPPED
from bench.datasets.specs import open_dataset, parse_spec

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = TEXT[TEXT.index("## Quick tour") : TEXT.index("## What comes out")]


def blocks(text: str = TEXT) -> list[tuple[str, str]]:
    """(language, content) of every block of code."""
    return re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str = TEXT) -> list[str]:
    """The lines of `text` that call bench, without their comments."""
    lines = [line for language, block in blocks(text) if language == "sh" for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in lines if "bench " in line]


def write_files(folder: Path, text: str = TEXT) -> None:
    """The blocks that begin with the name of a file; and audio, texts and checkpoints under the names that the examples use."""
    for language, block in blocks(text):
        named = re.match(r"# (\S+\.(?:yaml|py))\n", block)
        if language in {"yaml", "python"} and named is not None:
            (folder / named[1]).write_text(block, encoding="utf-8")
    soundfile.write(folder / "my.wav", 0.3 * np.sin(np.arange(32000) / 15), 16000)
    torch.save({"half": 31.5}, folder / "my.pt")
    (folder / "checkpoints").mkdir()
    for checkpoint in ("new.safetensors", "checkpoints/step=100.safetensors"):
        shutil.copyfile(SHIPPED / "codecslime_tiny.safetensors", folder / checkpoint)
    _write_speech(folder)


def _write_speech(folder: Path) -> None:
    """What a reader has: originals with their texts, and outputs at another rate, in a folder of other names."""
    for name in ("originals", "my_wavs", "outputs/decoded"):
        (folder / name).mkdir(parents=True)
    texts = ["id,text"]
    for entry in open_dataset(parse_spec({"name": "bundled", "languages": ["en"], "limit": 2}), Path(), 0).entries:
        samples, sample_rate = soundfile.read(entry.path, dtype="float32")
        for place in ("originals", "my_wavs"):
            soundfile.write(folder / place / f"{entry.id}.wav", samples, sample_rate)
        (folder / "my_wavs" / f"{entry.id}.txt").write_text(entry.text or "", encoding="utf-8")
        soundfile.write(folder / "outputs/decoded" / f"{entry.id}.flac", audio.resample(samples, sample_rate, 24000).clip(-0.1, 0.1), 24000)
        texts.append(f'{entry.id},"{entry.text}"')
    (folder / "transcripts.csv").write_text("\n".join(texts), encoding="utf-8")
