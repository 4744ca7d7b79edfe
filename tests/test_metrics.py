"""What every metric owes: complete facts, the best value for identical audio, a worse one for noise, and no value for silence."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from bench.dataset import Utterance
from bench.errors import UserError
from bench.metric import MetricFailure, MetricModule, NotApplicable
from bench.metrics import _transcripts
from bench.record import Score
from bench.registry import metric_infos, metric_modules
from tests.speech import at_rate, load, sentence, with_noise

INFOS = metric_infos()
OF_AUDIO = [name for name, info in INFOS.items() if not info.of_stream]
UNITS = {"", "%", "MOS", "dB", "ms", "cents", "Hz"}
BEST = {"delay_ms": 0.0, "gain_db": 0.0}  # of the diagnostics, which rank nothing
PREDICTED = ("dnsmos_", "utmos", "distillmos", "wer_", "cer_", "per_")  # by models, which may like a little noise
HEARS_SILENCE = ("mel_", "stft_", "wer_", "cer_", "dwer_")  # distances of spectra and of texts have a value for silence


@pytest.fixture(autouse=True)
def no_transcripts_of_earlier_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(_transcripts, "cache_folder", lambda: tmp_path)


def available(name: str) -> bool:
    return all(need.available for need in metric_modules()[name].needs([name], {}))


def scored(name: str, reference: Utterance, degraded: np.ndarray) -> Score:
    metric = load(name)
    return metric.score(metric.prepare(reference, at_rate(reference, metric.sample_rate)), degraded)[name]


@pytest.mark.parametrize("name", INFOS)
def test_facts_are_complete(name):
    info = INFOS[name]
    assert info.name == name
    assert info.unit in UNITS
    assert info.version >= 1
    assert info.sample_rate in {8000, 16000, 22050, 24000, 44100, 48000}
    assert info.definition.endswith(".")
    assert info.source
    assert info.licence
    assert info.diagnostic or info.citation.startswith("@")
    assert info.citation.count("{") == info.citation.count("}")


@pytest.mark.parametrize("name", INFOS)
def test_module_keeps_the_contract(name):
    module: MetricModule = metric_modules()[name]
    for need in module.needs([name], {}):
        assert need.how
    with pytest.raises(UserError, match="option"):
        module.needs([name], {"no_such_option": "1"})


@pytest.mark.parametrize("name", OF_AUDIO)
def test_identical_audio_is_best_and_noise_is_worse(name):
    if not available(name):
        pytest.skip("a package or model is not here")
    info, reference = INFOS[name], sentence("en-07")
    clean = at_rate(reference, info.sample_rate)
    try:
        best = scored(name, reference, clean).value
    except NotApplicable:
        best = math.inf  # SI-SDR
    values = [best, *(scored(name, reference, with_noise(clean, snr_db)).value for snr_db in (20.0, 0.0))]
    if info.diagnostic:
        assert best == BEST[name]
    else:
        losses = [-value if info.higher_is_better else value for value in values]
        assert losses[0] < losses[2]
        if not name.startswith(PREDICTED) and not name.endswith("_swift"):
            assert losses == sorted(losses)


@pytest.mark.parametrize("name", OF_AUDIO)
def test_silence_is_a_failure_and_never_a_default(name):
    if not available(name):
        pytest.skip("a package or model is not here")
    rate = INFOS[name].sample_rate
    speech, silence = sentence("en-07"), np.zeros(2 * rate, np.float32)
    silent = Utterance("silence", silence, rate, "nothing at all", language="en")
    if name.startswith("dwer_"):
        with pytest.raises(NotApplicable):
            scored(name, silent, silence)
    elif name.startswith(HEARS_SILENCE):
        assert scored(name, silent, silence).value == (100 if INFOS[name].corpus_ratio else 0)
    else:
        with pytest.raises(MetricFailure):
            scored(name, silent, silence)
        if not name.startswith("vuv_"):
            with pytest.raises(MetricFailure):
                scored(name, speech, np.zeros(len(at_rate(speech, rate)), np.float32))


def test_listing_the_metrics_imports_nothing_heavy():
    heavy = ["torch", "transformers", "nemo", "onnx", "pocketsphinx", "pesq", "pystoi", "parselmouth", "jiwer", "librosa", "scipy"]
    code = f"import sys, bench.registry as r; assert r.metric_infos(); print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
