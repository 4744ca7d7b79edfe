"""Small codecs, metrics and an engine that make a run quick and its failures certain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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


class SerialEngine:
    """Runs tasks here and now, so that a test can patch what they call."""

    jobs = 1

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            yield task, function(task)

    def close(self) -> None: ...


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


def metric_module(*metrics: ToyMetric, **facts: Any) -> Any:
    return SimpleNamespace(
        __name__="toys." + metrics[0].names[0],
        METRICS={name: MetricEntry(info(name, **facts), lambda *_, metric=metric: metric) for metric in metrics for name in metric.names},
        needs=lambda names, options: [],
        load=lambda names, device, options: list(metrics),
    )


def install(monkeypatch: Any, codecs: dict[str, Any], metrics: Iterable[Any]) -> None:
    """Puts toys in the place of every codec but `reference`, and of every metric."""
    from bench import suite
    from bench.run import preflight, provenance, runner
    from bench.run import worker as measure

    modules = {name: module for module in metrics for name in module.METRICS}
    real = registry.codec_module
    replacements = {
        "codec_module": lambda name: codecs[name] if name in codecs else real(name),
        "codec_names": lambda: (*codecs, "reference"),
        "metric_modules": lambda: modules,
        "metric_infos": lambda: {column: module.METRICS[column].info for column, module in modules.items()},
    }
    for place in (registry, measure, provenance, runner, suite, preflight):
        for attribute, replacement in replacements.items():
            if hasattr(place, attribute):
                monkeypatch.setattr(place, attribute, replacement)
    measure._load_codec.cache_clear()
    measure._metrics.cache_clear()
    measure._REFERENCES._kept.clear()


def corpus(folder: Path, languages: tuple[str, ...] = ("en", "en", "de", "en")) -> Path:
    """A manifest of second-long noises, each of its own colour."""
    rng = np.random.default_rng(7)
    lines = []
    for index, language in enumerate(languages):
        samples = np.cumsum(rng.standard_normal(12000 + 1000 * index)) * 0.005
        soundfile.write(folder / f"u{index}.wav", np.clip(samples, -0.9, 0.9), 16000, subtype="FLOAT")
        lines.append(f'{{"id": "u{index}", "path": "u{index}.wav", "text": "word", "speaker": "s{index % 6}", "language": "{language}"}}')
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` without the columns that differ between two runs of the same thing (times, memory)."""
    return frame.drop(columns=["encode_s", "decode_s", "peak_memory_mb"])
