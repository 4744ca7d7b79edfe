"""Small codecs, metrics and an engine that make a run quick and its failures certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from bench import registry
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream
from bench.dataset import Utterance
from bench.metric import MetricEntry, MetricFailure, NotApplicable
from bench.record import MetricInfo, Score


class ToyCodec:
    """8-bit samples at 8 kHz, one token a sample, every `keep`-th bit dropped; counts how often it analyses."""

    sample_rate, hop_length, parameters, weights_sha256 = 8000, 1, 0, ""

    def __init__(self) -> None:
        self.analysed = 0

    def analyse(self, audio: torch.Tensor) -> torch.Tensor:
        self.analysed += 1
        return audio

    def encode(self, latent: torch.Tensor, point: OperatingPoint) -> Encoded:
        levels = int(point.options["levels"])
        tokens = ((latent.clamp(-1, 1) + 1) / 2 * (levels - 1)).round().long()
        return Encoded((Stream(tokens[None], (levels,)),), len(latent))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        (stream,) = encoded.streams
        return stream.tokens[0].float() / (stream.codebook_sizes[0] - 1) * 2 - 1


def codec_module(codec: Any) -> Any:
    points = {f"{levels}levels": OperatingPoint(f"{levels}levels", 8000.0, 1, {"levels": levels}) for levels in (16, 256)}
    return SimpleNamespace(
        INFO=CodecInfo("fixed", "Toy", "Apache-2.0"),
        VERSION=1,
        POINTS=points,
        point=lambda **settings: OperatingPoint(f"{settings['levels']}levels", 8000.0, 1, settings),
        needs=lambda checkpoint: [],
        load=lambda checkpoint, device: codec,
    )


def info(name: str, **facts: Any) -> MetricInfo:
    usual = {"unit": "", "version": 1, "sample_rate": 16000, "higher_is_better": False, "definition": "", "source": ""}
    return MetricInfo(**{"name": name, **usual, **facts})


class ToyMetric:
    """Mean absolute difference; counts how often a reference is prepared."""

    names, sample_rate = ("distance",), 16000

    def __init__(self) -> None:
        self.prepared = 0
        self.scored = 0

    def prepare(self, reference: Utterance, audio: np.ndarray) -> np.ndarray:
        self.prepared += 1
        return audio

    def score(self, prepared: np.ndarray, degraded: np.ndarray) -> dict[str, Score]:
        self.scored += 1
        return {"distance": Score(float(np.abs(prepared - degraded).mean()), {"samples": float(len(degraded))})}


class BatchMetric(ToyMetric):
    """Scores signals together; remembers how many came at a time. One whose distance exceeds `limit` is too much, alone or in company."""

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.limit = limit

    def score(self, prepared: np.ndarray, degraded: np.ndarray) -> dict[str, Score]:
        self.batches.append(1)
        return self._judge(prepared, degraded)

    def score_batch(self, prepared: np.ndarray, degraded: Sequence[np.ndarray]) -> list[dict[str, Score]]:
        self.batches.append(len(degraded))
        return [self._judge(prepared, signal) for signal in degraded]

    def _judge(self, prepared: np.ndarray, degraded: np.ndarray) -> dict[str, Score]:
        scores = super().score(prepared, degraded)
        if scores["distance"].value > self.limit:
            raise MetricFailure("too far away")
        return scores


class RaisingMetric(ToyMetric):
    names = ("raising",)

    def score(self, prepared: np.ndarray, degraded: np.ndarray) -> dict[str, Score]:
        raise MetricFailure("no speech found")


class EnglishMetric(ToyMetric):
    names = ("english",)

    def prepare(self, reference: Utterance, audio: np.ndarray) -> np.ndarray:
        if reference.language != "en":
            raise NotApplicable(f"English only, not {reference.language}")
        return audio

    def score(self, prepared: np.ndarray, degraded: np.ndarray) -> dict[str, Score]:
        return {"english": Score(1.0)}


def metric_module(*metrics: Any, **facts: Any) -> Any:
    return SimpleNamespace(
        __name__="toys." + metrics[0].names[0],
        METRICS={name: MetricEntry(info(name, **facts), lambda *_, metric=metric: metric) for metric in metrics for name in metric.names},
        needs=lambda names, options: [],
        load=lambda names, device, options: list(metrics),
    )


class ToyRegistry(registry.Registry):
    """Toys in the place of every codec but `reference`, and of every metric."""

    def __init__(self, codecs: dict[str, Any], metrics: Iterable[Any]) -> None:
        super().__init__()
        self._toys = codecs
        self._metrics = {name: module for module in metrics for name in module.METRICS}

    def fresh(self) -> ToyRegistry:
        return self

    def codec_names(self) -> tuple[str, ...]:
        return (*self._toys, "reference")

    def codec_module(self, name: str) -> Any:
        return self._toys[name] if name in self._toys else super().codec_module(name)


def install(monkeypatch: Any, codecs: dict[str, Any], metrics: Iterable[Any]) -> None:
    """A registry of toys wherever one is asked for, and runs in this process."""
    from bench import catalogue, commands, conformance, suite  # noqa: F401  # what they import is bound before it is replaced
    from bench.regress import baseline, candidate
    from bench.run import session

    toys = ToyRegistry(codecs, list(metrics))
    for place in (registry,):
        for name in ("codec_module", "codec_names", "metric_modules", "metric_infos"):
            if hasattr(place, name):
                monkeypatch.setattr(place, name, getattr(toys, name))
    for module in (session, suite, baseline, candidate):
        monkeypatch.setattr(module, "Registry", lambda: toys)
    run_in_this_process(monkeypatch)


def run_in_this_process(monkeypatch: Any) -> None:
    from bench.regress import candidate
    from bench.run import session
    from bench.run.engine import SerialEngine

    monkeypatch.setattr(session, "open_engine", lambda *_arguments: SerialEngine())
    monkeypatch.setattr(candidate, "LocalEngine", lambda *_arguments: SerialEngine())


def corpus(folder: Path, languages: tuple[str, ...] = ("en", "en", "de", "en")) -> Path:
    """A manifest of second-long noises, each of its own colour."""
    rng = np.random.default_rng(7)
    lines = []
    for index, language in enumerate(languages):
        samples = np.cumsum(rng.standard_normal(12000 + 1000 * index)) * 0.005
        soundfile.write(folder / f"u{index}.wav", np.clip(samples, -0.9, 0.9), 16000, subtype="PCM_16")
        lines.append(f'{{"id": "u{index}", "path": "u{index}.wav", "text": "word", "speaker": "s{index % 6}", "language": "{language}"}}')
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` without the columns that differ between two runs of the same thing (times, memory)."""
    return frame.drop(columns=["encode_s", "decode_s", "peak_memory_mb"])
