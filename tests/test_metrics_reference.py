"""PESQ, STOI and SI-SDR against the bare libraries and the formula."""

from __future__ import annotations

import numpy as np
import pesq
import pystoi
import pytest

from bench import audio
from bench.dataset import Utterance
from bench.metric import MetricFailure, NotApplicable
from tests.speech import at_rate, coarse, full_score, load, sample_rate_of, score, sentence, with_noise

BARE = {
    "pesq_wb": lambda x, y: pesq.pesq(16000, x, y, "wb"),
    "pesq_nb": lambda x, y: pesq.pesq(8000, x, y, "nb"),
    "pesq_nb16": lambda x, y: pesq.pesq(16000, x, y, "nb"),
    "stoi": lambda x, y: pystoi.stoi(x, y, 16000, extended=False),
    "estoi": lambda x, y: pystoi.stoi(x, y, 16000, extended=True),
}


@pytest.mark.parametrize("name", BARE)
def test_score_equals_the_bare_library(name):
    for identifier in ("en-07", "de-18"):
        reference = sentence(identifier)
        samples = at_rate(reference, sample_rate_of(name))
        for degraded in (with_noise(samples, 10.0), coarse(samples)):
            assert score(name, reference, degraded) == pytest.approx(BARE[name](samples, degraded), abs=1e-9)


def test_narrow_band_at_8_khz_is_not_narrow_band_fed_with_16_khz():
    reference = sentence("en-07")
    degraded = with_noise(reference.audio, 15.0)
    assert abs(score("pesq_nb", reference, audio.resample(degraded, 16000, 8000)) - score("pesq_nb16", reference, degraded)) > 0.02


@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_stoi_of_too_little_speech_is_a_failure_not_1e_5(name):
    reference = sentence()
    short = Utterance("short", reference.audio[16000:20000], 16000)
    with pytest.warns(RuntimeWarning, match="Not enough STFT frames"):
        assert pystoi.stoi(short.audio, short.audio, 16000) == 1e-5
    with pytest.raises(MetricFailure, match="30 frames"):
        full_score(name, short, short.audio)


def test_estoi_repeats_to_the_last_digit_and_leaves_the_global_generator_alone():
    reference = sentence("en-07")
    degraded = with_noise(reference.audio, 10.0)
    np.random.seed(5)
    drawn = np.random.random()
    np.random.seed(5)
    assert len({score("estoi", reference, degraded) for _ in range(4)}) == 1
    assert np.random.random() == drawn


@pytest.mark.parametrize("name", ["pesq_wb", "pesq_nb"])
def test_pesq_names_why_it_has_no_value(name):
    rate = sample_rate_of(name)
    reference = sentence()
    short = Utterance("short", at_rate(reference, rate)[: rate // 5], rate)
    with pytest.raises(MetricFailure, match=r"shorter than 0\.25 s"):
        full_score(name, short, short.audio)


def test_si_sdr_equals_the_formula_and_ignores_scale_and_offset():
    reference = sentence("en-07")
    degraded = with_noise(reference.audio, 12.0)
    x, y = (signal.astype(np.float64) - signal.astype(np.float64).mean() for signal in (reference.audio, degraded))
    target = np.dot(x, y) / np.dot(x, x) * x
    expected = 10 * np.log10(np.sum(target**2) / np.sum((y - target) ** 2))
    assert score("si_sdr", reference, degraded) == pytest.approx(expected, abs=1e-9)
    assert score("si_sdr", reference, degraded) == pytest.approx(12.0, abs=0.1)
    assert score("si_sdr", reference, (0.25 * degraded + 0.01).astype(np.float32)) == pytest.approx(expected, abs=1e-4)


def test_si_sdr_of_equal_signals_is_no_number():
    with pytest.raises(NotApplicable, match="infinity"):
        score("si_sdr", sentence(), sentence().audio)
    with pytest.raises(MetricFailure, match="minus infinity"):
        score("si_sdr", sentence(), np.zeros_like(sentence().audio))


@pytest.mark.parametrize("name", [*BARE, "si_sdr"])
def test_silent_reference_is_a_failure(name):
    metric = load(name)
    silence = Utterance("silence", np.zeros(3 * metric.sample_rate, np.float32), metric.sample_rate)
    with pytest.raises(MetricFailure, match="the reference is silent"):
        metric.prepare(silence, silence.audio)
