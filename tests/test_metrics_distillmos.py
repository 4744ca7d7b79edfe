"""DistillMOS against the package's own model, whose weights it reads."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from bench.metric import MetricFailure
from tests.speech import coarse, load, score, sentence

pytest.importorskip("xls_r_sqa", reason="needs the package distillmos")


@pytest.fixture
def original(monkeypatch):
    """The package's model; torchaudio, which only its command line uses, may be missing or broken."""
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    from distillmos.sqa import ConvTransformerSQAModel

    with torch.inference_mode():
        return ConvTransformerSQAModel().eval()


@pytest.mark.parametrize("seconds", [0.7, 2.0, 7.68, 9.0, 16.3])
def test_scores_equal_the_packages_own(original, seconds):
    speech = np.tile(sentence("en-02").audio, 5)[: int(seconds * 16000)]
    for degraded in (speech, coarse(speech, 64)):
        with torch.inference_mode():
            expected = float(original(torch.tensor(degraded)[None]))
        assert load("distillmos").score(None, degraded)["distillmos"].value == pytest.approx(expected, abs=1e-4)


def test_level_does_not_matter_and_damage_does():
    reference = sentence("en-02")
    clean = score("distillmos", reference, reference.audio)
    assert score("distillmos", reference, 0.1 * reference.audio) == pytest.approx(clean, abs=1e-3)
    assert score("distillmos", reference, coarse(reference.audio, 16)) < clean - 0.5


def test_too_little_to_judge_is_a_failure():
    with pytest.raises(MetricFailure, match=r"less than 0\.5 s"):
        load("distillmos").score(None, sentence("en-02").audio[:4000])
