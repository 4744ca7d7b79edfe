"""Pitch, voicing, delay and gain on signals whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.dataset import Utterance
from bench.metric import MetricFailure
from tests.speech import full_score, score, sentence, with_noise

RATE = 16000


def buzz(frequency: np.ndarray) -> np.ndarray:
    """Ten harmonics under a frequency contour in Hz, float32 [T]; silent where it is 0."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return (0.05 * sum(np.cos(k * phase) for k in range(1, 11)) * (frequency > 0)).astype(np.float32)


def utterance(samples: np.ndarray) -> Utterance:
    return Utterance("synthetic", samples, RATE)


PACKAGES = {"": "parselmouth", "_swift": "swift_f0"}  # suffix of the columns -> what estimates the pitch


@pytest.mark.parametrize("suffix", PACKAGES)
@pytest.mark.parametrize("cents", [10.0, -50.0, 300.0])
def test_pitch_error_is_the_shift_in_cents(suffix, cents):
    pytest.importorskip(PACKAGES[suffix])
    contour = np.linspace(120, 180, 2 * RATE)
    result = full_score(f"f0_rmse_cents{suffix}", utterance(buzz(contour)), buzz(contour * 2 ** (cents / 1200)))
    assert result.value == pytest.approx(abs(cents), abs=1.0)
    assert float(result.details["voiced_frames"]) > 120


@pytest.mark.parametrize("suffix", PACKAGES)
def test_voicing_error_is_the_share_of_frames_whose_voice_is_gone(suffix):
    pytest.importorskip(PACKAGES[suffix])
    voiced = np.full(4 * RATE, 150.0)
    half = voiced.copy()
    half[2 * RATE :] = 0
    reference = utterance(buzz(voiced))
    assert score(f"vuv_error{suffix}", reference, buzz(half)) == pytest.approx(50, abs=1.5)
    assert score(f"vuv_f1{suffix}", reference, buzz(half)) == pytest.approx(2 / 3, abs=0.02)
    assert score(f"f0_rmse_cents{suffix}", reference, buzz(half)) < 2
    assert score(f"vuv_error{suffix}", reference, reference.audio) == 0
    assert score(f"vuv_f1{suffix}", reference, reference.audio) == 1


@pytest.mark.parametrize("suffix", PACKAGES)
def test_without_common_voice_the_pitch_error_fails_and_voicing_still_scores(suffix):
    pytest.importorskip(PACKAGES[suffix])
    reference = utterance(buzz(np.full(RATE, 150.0)))
    hiss = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    with pytest.raises(MetricFailure, match="no frame is voiced in both"):
        score(f"f0_rmse_cents{suffix}", reference, hiss)
    assert score(f"vuv_error{suffix}", reference, hiss) > 90
    with pytest.raises(MetricFailure, match="no voiced frame in the reference"):
        score(f"vuv_error{suffix}", utterance(hiss), hiss)


@pytest.mark.parametrize("lag", [0, 1, 37, 1600, -80])
@pytest.mark.parametrize("gain_db", [0.0, -6.0])
def test_delay_and_gain_are_found_under_noise(lag, gain_db):
    speech = sentence().audio
    late = np.roll(np.pad(speech, (2000, 2000)), lag)
    reference = utterance(np.pad(speech, (2000, 2000)))
    degraded = with_noise((10 ** (gain_db / 20) * late).astype(np.float32), 30.0)
    assert score("delay_ms", reference, degraded) == 1000 * lag / RATE
    assert score("gain_db", reference, degraded) == pytest.approx(gain_db, abs=0.01)


def test_inverted_audio_has_no_delay_of_its_own():
    """The greatest correlation, not its absolute value: an inverted copy lines up half a period away."""
    assert score("delay_ms", sentence(), sentence().audio) == 0
    assert score("delay_ms", sentence(), -sentence().audio) != 0


def test_silence_has_neither_delay_nor_gain():
    for reference, degraded, what in (
        (utterance(np.zeros(RATE, np.float32)), sentence().audio[:RATE], "reference"),
        (utterance(sentence().audio[:RATE]), np.zeros(RATE, np.float32), "degraded"),
    ):
        with pytest.raises(MetricFailure, match=f"the {what}.* is silent"):
            score("gain_db", reference, degraded)
