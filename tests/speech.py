"""Speech for the tests of metrics: sentences of the bundled corpus, and what codecs do to them, imitated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import audio
from bench.dataset import Utterance
from bench.metric import Metric, loader
from bench.metrics._error_rate import columns, shared
from bench.metrics._transcripts import Recogniser
from bench.record import Score
from bench.registry import metric_infos, metric_modules

CORPUS = Path(__file__).resolve().parent.parent / "bench" / "corpus"


@cache
def sentence(identifier: str = "en-02") -> Utterance:
    """One bundled sentence with its text, 16 kHz."""
    for line in (CORPUS / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["id"] == identifier:
            samples, sample_rate = audio.read(CORPUS / row["path"])
            return Utterance(identifier, samples, sample_rate, row["text"], row["speaker"], row["language"], "bundled")
    raise KeyError(identifier)


def at_rate(utterance: Utterance, sample_rate: int) -> np.ndarray:
    return audio.resample(utterance.audio, utterance.sample_rate, sample_rate)


def with_noise(samples: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    """`samples` plus white noise at a signal-to-noise ratio."""
    noise = np.random.default_rng(seed).normal(size=len(samples))
    noise *= np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return (samples + noise).astype(np.float32)


def coarse(samples: np.ndarray, levels: int = 16) -> np.ndarray:
    """`samples` through a uniform quantiser with `levels` levels."""
    return (np.round(samples * levels / 2) / (levels / 2)).astype(np.float32)


@cache
def load(name: str, **options: str) -> Metric:
    """The metric that fills the column `name`, alone."""
    (metric,) = metric_modules()[name].load([name], torch.device("cpu"), options)
    return metric


def score(name: str, reference: Utterance, degraded: np.ndarray, **options: str) -> float:
    """The column's value for `degraded` float32 [T] at the column's sample rate."""
    return full_score(name, reference, degraded, **options).value


def full_score(name: str, reference: Utterance, degraded: np.ndarray, **options: str) -> Score:
    metric = load(name, **options)
    prepared: Any = metric.prepare(reference, at_rate(reference, metric.sample_rate))
    return metric.score(prepared, degraded)[name]


def sample_rate_of(name: str) -> int:
    return metric_infos()[name].sample_rate


def error_rates(names: Sequence[str], recogniser: Recogniser, normaliser: str) -> Sequence[Metric]:
    """The metrics that fill `names` ("wer_x", "cer_x", "dwer_x") with what `recogniser` hears."""
    metrics = columns(names[0].partition("_")[2], "", "", "", None, False)
    return loader(metrics, lambda device, options: shared(recogniser, options))(names, torch.device("cpu"), {"normaliser": normaliser})
