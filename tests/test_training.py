"""Training: recipes are checked, crops are reproducible, a killed run resumes onto the same curve, and every stage runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from bench import audio
from bench.checkpoint import load_safetensors
from bench.codecs.training import train as training
from bench.codecs.training.data import Crops, open_store, split
from bench.codecs.training.merging import DirichletSegments, Schedule
from bench.codecs.training.module import CodecTraining, learning_rate
from bench.codecs.training.recipe import Data, Melt, Optimiser, read_recipe
from bench.errors import UserError

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.yaml"))


@pytest.fixture
def speech_folder(tmp_path: Path) -> Path:
    """Six speakers of one 4 s clip each: harmonics with a slow envelope."""
    random = np.random.default_rng(0)
    time_s = np.arange(4 * 16000) / 16000
    for speaker in range(6):
        pitch = 100 + 20 * speaker
        voice = sum(np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 8)) * (1 + np.sin(2 * np.pi * 3 * time_s))
        noisy = 0.1 * voice + 0.001 * random.standard_normal(len(voice))
        audio.write(tmp_path / "speech" / f"s{speaker}" / f"clip{speaker}.wav", noisy.astype(np.float32), 16000)
    return tmp_path / "speech"


@pytest.fixture
def recipe(speech_folder: Path, tmp_path: Path) -> dict:
    """A training of seconds, to be written to a file by `save`."""
    return {
        "name": "toy",
        "codec": "fixed",
        "model": {"family": "spectral", "width": 16, "hidden": 16, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8},
        "data": {"folder": str(speech_folder), "crop_s": 0.25, "batch_size": 4, "held_out": 2, "gain_db": 6, "noise_dbfs": [-80, -50]},
        "optimiser": {"steps": 12, "learning_rate": 1e-3, "warmup_steps": 2, "average_decay": 0.9},
        "losses": {"mel": 15, "mel_turns": 2},
        "validation": {"every_steps": 12, "checkpoint_steps": 5},
        "hardware": {"accelerator": "cpu", "devices": 1},
    }


def save(recipe: dict, folder: Path) -> Path:
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_killed_training_resumes_onto_the_same_curve(recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(recipe, tmp_path)
    losses: dict[int, list[float]] = {}
    training_step = CodecTraining.training_step

    def recorded(self: CodecTraining, batch: torch.Tensor, index: int) -> None:
        losses.setdefault(self.step, []).append(float(self.mel(self.model(batch, self.step).audio, batch).detach()))
        training_step(self, batch, index)

    monkeypatch.setattr(CodecTraining, "training_step", recorded)
    unbroken, _ = load_safetensors(training.train(path, tmp_path / "unbroken"))

    def killed(self: CodecTraining, batch: torch.Tensor, index: int) -> None:
        if self.step == 8:
            raise KeyboardInterrupt
        recorded(self, batch, index)

    monkeypatch.setattr(CodecTraining, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        training.train(path, tmp_path / "broken")
    assert (tmp_path / "broken" / "toy" / "last.ckpt").exists()
    monkeypatch.setattr(CodecTraining, "training_step", recorded)
    resumed, metadata = load_safetensors(training.train(path, tmp_path / "broken"))

    assert metadata["steps"] == "12"
    assert [len(losses[step]) for step in range(12)] == [2] * 5 + [3] * 3 + [2] * 4  # steps 5 to 7 were lost and are run again
    for values in losses.values():
        assert values == [values[0]] * len(values)
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name
