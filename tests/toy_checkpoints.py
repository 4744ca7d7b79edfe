"""A toy codec whose checkpoint (a line of JSON, or what torch.save wrote) says how much noise it adds, for tests of checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.checkpoint import resolve, sha256
from bench.codec import CodecInfo, Encoded
from bench.errors import UserError
from bench.needs import Need, weights
from bench.suite import Suite, load_suite
from tests import toys

SUITE = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs: [{codec: noisy, checkpoint: good.json, points: [16levels, 256levels]}]
metrics: [distance]
"""


class NoisyCodec(toys.ToyCodec):
    """ToyCodec with uniform noise on its output, always the same."""

    def __init__(self, noise: float, weights_sha256: str) -> None:
        super().__init__()
        self.noise, self.weights_sha256 = noise, weights_sha256

    def decode(self, encoded: Encoded) -> torch.Tensor:
        decoded = super().decode(encoded)
        return decoded + self.noise * (2 * torch.rand(decoded.shape, generator=torch.Generator().manual_seed(1)) - 1)


def _load(checkpoint: str | None, device: torch.device) -> NoisyCodec:
    path = resolve(checkpoint or "good", "noisy")
    try:
        noise = (torch.load(path) if path.suffix == ".pt" else json.loads(path.read_text(encoding="utf-8")))["noise"]
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not a checkpoint: {error.msg}") from None
    return NoisyCodec(noise, sha256(path))


def _needs(checkpoint: str | None) -> list[Need]:
    return [] if checkpoint is None else [weights("noisy", checkpoint)]


def install(monkeypatch: pytest.MonkeyPatch, metric: toys.ToyMetric, version: int = 1) -> None:
    """The codec `noisy`, the metric and an engine in this process."""
    points = toys.codec_module(None).POINTS
    codec: Any = SimpleNamespace(INFO=CodecInfo("fixed", "Noisy", "Apache-2.0"), VERSION=1, POINTS=points, needs=_needs, load=_load)
    toys.install(monkeypatch, {"noisy": codec}, [toys.metric_module(metric, version=version)])
    toys.run_in_this_process(monkeypatch)


def write_checkpoint(path: Path, noise: float) -> Path:
    path.write_text(json.dumps({"noise": noise}), encoding="utf-8")
    return path


def write_suite(folder: Path, text: str = SUITE) -> Suite:
    """The suite with twelve utterances of six speakers beside it, and `good.json`."""
    if not (folder / "manifest.jsonl").exists():
        toys.corpus(folder, languages=("en",) * 12)
        write_checkpoint(folder / "good.json", 0.0)
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return load_suite(folder / "toy.yaml")
