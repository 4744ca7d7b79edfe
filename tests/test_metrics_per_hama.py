"""Phone error rate: nothing wrong in the reference itself, more wrong the worse it sounds, counts that add up over a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.dataset import Utterance
from bench.metric import MetricFailure, NotApplicable
from tests.speech import coarse, full_score, load, sentence

pytest.importorskip("hama", reason="needs the extra `phones`")


def test_phones_of_the_reference_are_right_and_coarser_audio_has_more_errors():
    reference = sentence("en-02")
    signals = (reference.audio, coarse(reference.audio, 48), coarse(reference.audio, 8))
    rates = [full_score("per_hama", reference, audio) for audio in signals]
    assert rates[0].value == 0
    assert rates[0].value <= rates[1].value < rates[2].value
    assert all(rate.value == pytest.approx(100 * float(rate.details["errors"]) / float(rate.details["words"])) for rate in rates)
    assert rates[0].details["words"] == len(str(rates[0].details["reference"]).split()) > 30


def test_a_reference_without_transcript_is_judged_and_one_without_phones_fails():
    metric: Any = load("per_hama")
    assert metric.prepare(Utterance("u", sentence("en-02").audio, 16000, language="en_US"), sentence("en-02").audio)
    german = Utterance("u", sentence("en-02").audio, 16000, language="de")
    with pytest.raises(NotApplicable, match="en, not de"):
        metric.prepare(german, german.audio)
    with pytest.raises(NotApplicable, match="nobody states"):
        metric.prepare(Utterance("u", german.audio, 16000), german.audio)
    tone = 0.001 * np.sin(np.arange(16000) * 0.5).astype(np.float32)
    if not metric._hear(tone):
        with pytest.raises(MetricFailure, match="no phone"):
            metric.prepare(Utterance("u", tone, 16000, language="en"), tone)
    with pytest.raises(MetricFailure, match="silent"):
        metric.prepare(Utterance("u", 0 * tone, 16000, language="en"), 0 * tone)
