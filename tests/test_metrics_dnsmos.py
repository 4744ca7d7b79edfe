"""DNSMOS against the package whose weights it reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.metric import MetricFailure
from bench.metrics import dnsmos
from tests.speech import load, sentence

COLUMNS = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")


def clip(seconds: float) -> np.ndarray:
    """Sentences one after the other, cut; a little too loud in places, as decoded audio is."""
    speech = np.concatenate([sentence(f"en-{number:02d}").audio for number in (2, 7, 1, 11)])
    return 3.0 * speech[: round(seconds * 16000)]


# several windows of a doubled clip; one; one without repetition; the eighth is a sample short by rounding, and skipped
@pytest.mark.parametrize("seconds", [3.01, 4.75, 10.2, pytest.param(17.1, marks=pytest.mark.slow)])
def test_scores_equal_speechmos(seconds):
    original = pytest.importorskip("speechmos.dnsmos", exc_type=ImportError)
    audio = clip(seconds)
    assert len(audio) == round(seconds * 16000)
    expected = original.run(np.clip(audio, -1, 1), 16000)
    for metric in dnsmos.load(COLUMNS, torch.device("cpu"), {}):
        for name, score in metric.score(None, audio).items():
            assert score.value == pytest.approx(expected[name.replace("dnsmos_", "") + "_mos"], abs=1e-5), name


def test_one_pass_fills_the_columns_that_were_asked_for():
    metrics = dnsmos.load(("dnsmos_bak", "dnsmos_p808", "dnsmos_ovrl"), torch.device("cpu"), {})
    assert [metric.names for metric in metrics] == [("dnsmos_bak", "dnsmos_ovrl"), ("dnsmos_p808",)]
    assert [tuple(metric.score(None, clip(5.0))) for metric in metrics] == [("dnsmos_bak", "dnsmos_ovrl"), ("dnsmos_p808",)]


@pytest.mark.parametrize("name", COLUMNS)
def test_silence_and_snippets_are_failures(name):
    with pytest.raises(MetricFailure, match="silent"):
        load(name).score(None, np.zeros(48000, np.float32))
    with pytest.raises(MetricFailure, match=r"0\.05 s, less than 0\.5 s"):
        load(name).score(None, sentence().audio[16000:16800])
