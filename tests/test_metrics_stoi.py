"""STOI and eSTOI from one pass, against pystoi itself: on speech through codecs, on noise, on holes, and on what pystoi can not judge."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pystoi
import pytest
import torch

from bench import audio
from bench.dataset import Utterance
from bench.metric import MetricFailure
from bench.metrics import stoi
from tests.speech import at_rate, coarse, load, sentence, with_noise

RATE = 16000


def original(reference: np.ndarray, degraded: np.ndarray, extended: bool) -> float:
    """pystoi's value where its noise is drawn from a generator of seed 0."""
    state = np.random.get_state()
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(pystoi.stoi(reference, degraded, RATE, extended=extended))
    np.random.set_state(state)
    return value


def both(reference: np.ndarray, degraded: np.ndarray, names: tuple[str, ...] = ("stoi", "estoi")) -> dict[str, float]:
    metric = stoi.Stoi(names)
    prepared = metric.prepare(Utterance("u", reference, RATE), reference)
    return {name: score.value for name, score in metric.score(prepared, degraded).items()}


def with_holes(samples: np.ndarray) -> np.ndarray:
    """Digital silence for every other quarter of a second."""
    holes = samples.copy()
    for start in range(0, len(holes), RATE // 2):
        holes[start : start + RATE // 4] = 0
    return holes


def low_passed(samples: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    spectrum[len(spectrum) // 8 :] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def shifted(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(333, np.float32), samples[:-333]])


def one_click(samples: np.ndarray) -> np.ndarray:
    click = np.zeros_like(samples)
    click[len(click) // 2] = 0.9
    return click


DEGRADED = {
    "itself": lambda samples: samples,
    "coarse": lambda samples: coarse(samples, 32),
    "noisy": lambda samples: with_noise(samples, 5.0),
    "inverted and quiet": lambda samples: -1e-2 * samples,
    "with holes": with_holes,
    "low-passed": low_passed,
    "late": shifted,
    "constant": lambda samples: np.full_like(samples, 0.25),
    "one click": one_click,
    "clipped": lambda samples: np.clip(20 * samples, -1, 1),
    "far beyond full scale": lambda samples: 1e6 * samples,
}


@pytest.mark.parametrize("degrade", DEGRADED.values(), ids=DEGRADED)
@pytest.mark.parametrize("identifier", ["en-02", "en-07"])
def test_both_equal_pystoi_on_speech_and_on_odd_input(identifier, degrade):
    reference = at_rate(sentence(identifier), RATE)
    degraded = degrade(reference).astype(np.float32)
    values = both(reference, degraded)
    assert values["stoi"] == pytest.approx(original(reference, degraded, extended=False), abs=1e-12)
    assert values["estoi"] == pytest.approx(original(reference, degraded, extended=True), abs=1e-12)


def test_published_reconstructions_of_real_speech_score_as_pystoi_scores_them(shared):
    rows = [json.loads(line) for line in (shared / "data/recon/manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows[:: len(rows) // 8]:
        degraded, degraded_rate = audio.read(shared / "data/recon" / row["path"])
        original_audio, rate = audio.read(shared / "data/recon" / row["reference"])
        reference = audio.resample(original_audio, rate, RATE)
        degraded = audio.fit_length(audio.resample(degraded, degraded_rate, RATE), len(reference))
        values = both(reference, degraded)
        assert values["stoi"] == pytest.approx(original(reference, degraded, extended=False), abs=1e-12)
        assert values["estoi"] == pytest.approx(original(reference, degraded, extended=True), abs=1e-12)


def test_a_reference_of_speech_between_silences_equals_pystoi():
    reference = with_holes(at_rate(sentence("en-02"), RATE))
    degraded = with_noise(reference, 10.0)
    values = both(reference, degraded)
    assert values["stoi"] == pytest.approx(original(reference, degraded, extended=False), abs=1e-12)
    assert values["estoi"] == pytest.approx(original(reference, degraded, extended=True), abs=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.0256, 0.03, 0.2, 0.39, 0.4, 0.42, 0.45])
def test_short_speech_is_judged_where_pystoi_judges_it_and_else_a_failure(seconds):
    speech = at_rate(sentence("en-02"), RATE)
    loudest = int(np.abs(speech).argmax())
    reference = speech[loudest : loudest + int(seconds * RATE)]
    degraded = coarse(reference, 32)
    try:
        value = original(reference, degraded, extended=False)
    except (ValueError, IndexError):  # NumPy's complaints of empty arrays
        value = 1e-5
    if value == 1e-5:
        with pytest.raises(MetricFailure):
            both(reference, degraded)
    else:
        assert both(reference, degraded)["stoi"] == pytest.approx(value, abs=1e-12)


def test_one_metric_fills_both_columns_and_either_alone_gives_the_same():
    reference = at_rate(sentence("en-07"), RATE)
    degraded = coarse(reference, 32)
    (metric,) = stoi.load(["stoi", "estoi"], torch.device("cpu"), {})
    assert metric.names == ("stoi", "estoi")
    together = both(reference, degraded)
    assert together == {**both(reference, degraded, ("stoi",)), **both(reference, degraded, ("estoi",))}


def test_scores_depend_neither_on_what_came_before_nor_on_the_global_generator():
    reference = at_rate(sentence("en-07"), RATE)
    metric = load("estoi")
    prepared = metric.prepare(sentence("en-07"), reference)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    first = metric.score(prepared, with_holes(reference))
    metric.score(prepared, coarse(reference, 32))
    assert metric.score(prepared, with_holes(reference)) == first
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_nothing_of_the_reference_is_computed_again_for_a_point(monkeypatch):
    metric = stoi.Stoi(("stoi", "estoi"))
    resampled = []
    real = metric._utils.resample_oct

    def counted(*arguments: Any) -> Any:
        resampled.append(1)
        return real(*arguments)

    monkeypatch.setattr(metric._utils, "resample_oct", counted)
    reference = at_rate(sentence("en-07"), RATE)
    prepared = metric.prepare(sentence("en-07"), reference)
    for levels in (16, 32, 64):
        metric.score(prepared, coarse(reference, levels))
    assert len(resampled) == 1 + 3
