"""Speaker similarity and ViSQOL through their packages, with tiny or random models in the real formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import torchaudio_guard
from bench.errors import UserError
from bench.metric import MetricFailure
from bench.metrics import similarity
from tests.speech import full_score, load, score, sentence, with_noise

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny_wavlm(tmp_path_factory):
    """A random WavLM x-vector model in the format of the hub."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    folder = tmp_path_factory.mktemp("wavlm")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_conv_pos_embedding_groups": 4,
    }
    x_vector: dict[str, Any] = {"tdnn_dim": (16, 16, 32), "tdnn_kernel": (5, 3, 1), "tdnn_dilation": (1, 2, 1), "xvector_output_dim": 24}
    WavLMForXVector(WavLMConfig(**sizes, conv_dim=(32,) * 7, **x_vector)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def test_wavlm_similarity_is_the_cosine_of_its_x_vectors(tiny_wavlm):
    from transformers import WavLMForXVector

    reference = sentence("en-07")
    degraded = with_noise(reference.audio, 10.0)
    model = WavLMForXVector.from_pretrained(tiny_wavlm).eval()
    with torch.inference_mode():
        normal = [torch.tensor((x - x.mean()) / np.sqrt(x.var() + 1e-7))[None] for x in (reference.audio, degraded)]
        first, second = (model(x).embeddings[0] for x in normal)
    expected = float(torch.nn.functional.cosine_similarity(first, second, dim=0))
    assert score("sim_wavlm_base_plus_sv", reference, degraded, checkpoint=str(tiny_wavlm)) == pytest.approx(expected, abs=1e-5)
    assert score("sim_wavlm_base_plus_sv", reference, reference.audio, checkpoint=str(tiny_wavlm)) == pytest.approx(1, abs=1e-9)


def test_plain_wavlm_without_the_x_vector_head_is_refused(tiny_wavlm, tmp_path):
    from transformers import WavLMForXVector

    WavLMForXVector.from_pretrained(tiny_wavlm).wavlm.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="weights missing"):
        similarity.load(["sim_wavlm_base_plus_sv"], CPU, {"checkpoint": str(tmp_path)})


def test_resemblyzer_tells_the_same_speech_from_another_speaker():
    pytest.importorskip("resemblyzer", exc_type=ImportError)
    reference = sentence("en-02")
    other = np.resize(sentence("en-12").audio, len(reference.audio))
    assert sentence("en-12").speaker != reference.speaker
    assert score("secs_resemblyzer", reference, reference.audio) == pytest.approx(1, abs=1e-6)
    assert score("secs_resemblyzer", reference, with_noise(reference.audio, 30.0)) > 0.85
    assert score("secs_resemblyzer", reference, other) < score("secs_resemblyzer", reference, with_noise(reference.audio, 30.0))


def test_ecapa_loads_its_checkpoint_strictly_and_ignores_scale(tmp_path):
    torchaudio_guard.install()
    pytest.importorskip("torchaudio", exc_type=ImportError)
    models = pytest.importorskip("speechbrain.lobes.models.ECAPA_TDNN")
    torch.manual_seed(0)
    model = models.ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072], attention_channels=128)
    torch.save(model.state_dict(), tmp_path / "embedding_model.ckpt")
    reference = sentence("en-07")
    options = {"checkpoint": str(tmp_path / "embedding_model.ckpt")}
    assert score("sim_ecapa", reference, reference.audio, **options) == pytest.approx(1, abs=1e-6)
    assert score("sim_ecapa", reference, with_noise(reference.audio, 0.0), **options) < 0.999
    torch.save({"blocks.0.conv.conv.bias": torch.zeros(1024)}, tmp_path / "part.ckpt")
    with pytest.raises(UserError, match="does not fit ECAPA_TDNN"):
        similarity.load(["sim_ecapa"], CPU, {"checkpoint": str(tmp_path / "part.ckpt")})


@pytest.mark.parametrize("name", similarity.METRICS)
def test_missing_models_and_packages_are_named(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    needs = similarity.needs([name], {})
    assert all(need.how.startswith(("pip install", "hf download")) for need in needs)
    assert {need.kind for need in needs} == ({"package"} if name == "secs_resemblyzer" else {"package", "weights"})


@pytest.mark.slow
def test_visqol_is_best_for_equal_signals_and_falls_with_noise():
    pytest.importorskip("visqol", exc_type=ImportError)
    pytest.importorskip("ai_edge_litert", exc_type=ImportError)
    reference = sentence("en-07")
    values = [score("visqol_speech", reference, with_noise(reference.audio, snr_db)) for snr_db in (90.0, 20.0, 5.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 4.3
    metric = load("visqol_speech")
    with pytest.raises(MetricFailure, match=r"less than 1 s"):
        metric.prepare(reference, reference.audio[:8000])
    with pytest.raises(MetricFailure, match="silent"):
        full_score("visqol_speech", reference, np.zeros_like(reference.audio))
