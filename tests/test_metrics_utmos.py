"""UTMOS with random weights under the published names, against a forward pass written with torch functions alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import UserError
from bench.metric import MetricFailure
from bench.metrics import utmos
from tests.speech import sentence
from tests.wav2vec2 import Tensors, features, linear

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random tensors, by the names and shapes of utmos22_strong_step7459_v1.pt: 225 of them, 102.8 million values."""
    tensors = Tensors()
    tensors.add_wav2vec2("wav2vec2.")
    tensors.add("domain_emb", 1, 128, scale=1.0)
    tensors.add("judge_emb", 1, 128, scale=1.0)
    for suffix in ("", "_reverse"):
        tensors.add(f"blstm.weight_ih_l0{suffix}", 2048, 1024)
        tensors.add(f"blstm.weight_hh_l0{suffix}", 2048, 512)
        tensors.add(f"blstm.bias_ih_l0{suffix}", 2048, scale=0.1)
        tensors.add(f"blstm.bias_hh_l0{suffix}", 2048, scale=0.1)
    tensors.add_linear("projection.0", 1024, 2048)
    tensors.add_linear("projection.2", 2048, 1)
    assert len(tensors) == 225
    assert round(sum(tensor.numel() for tensor in tensors.values()) / 1e6, 1) == 102.8
    return dict(tensors)


@pytest.fixture(scope="module")
def checkpoint(published: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("utmos") / "utmos.pt"
    torch.save(published, path)
    return path


def mos(weights: dict[str, Tensor], audio: Tensor) -> float:
    """UTMOS22 strong of `audio` [T], step by step."""
    x = features(weights, "wav2vec2.", audio)
    x = torch.cat([x, weights["domain_emb"].expand(len(x), -1), weights["judge_emb"].expand(len(x), -1)], dim=1)
    directions = []
    for suffix in ("", "_reverse"):
        hidden, cell, outputs = torch.zeros(512), torch.zeros(512), []
        for frame in x.flip(0) if suffix else x:
            gates = F.linear(frame, weights[f"blstm.weight_ih_l0{suffix}"], weights[f"blstm.bias_ih_l0{suffix}"])
            gates = gates + F.linear(hidden, weights[f"blstm.weight_hh_l0{suffix}"], weights[f"blstm.bias_hh_l0{suffix}"])
            into, forget, new, out = gates.chunk(4)
            cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
            hidden = out.sigmoid() * cell.tanh()
            outputs.append(hidden)
        directions.append(torch.stack(outputs[::-1] if suffix else outputs))
    scores = linear(weights, "projection.2", linear(weights, "projection.0", torch.cat(directions, dim=1)).relu())
    return float(scores.mean() * 2 + 3)


def test_score_equals_the_model_written_out(published, checkpoint):
    (metric,) = utmos.load(["utmos"], CPU, {"checkpoint": str(checkpoint)})
    audio = sentence().audio[8000:24000]
    with torch.inference_mode():
        expected = mos(published, torch.tensor(audio))
    assert metric.score(None, audio)["utmos"].value == pytest.approx(expected, abs=1e-4)
    assert utmos.needs(["utmos"], {"checkpoint": str(checkpoint)})[-1].files == (checkpoint,)
    with pytest.raises(MetricFailure, match="silent"):
        metric.score(None, np.zeros(16000, np.float32))


def test_a_checkpoint_that_lacks_weights_is_refused(published, tmp_path):
    torch.save({"judge_emb": published["judge_emb"], "phoneme_encoder.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: does not fit StrongLearner: 224 keys missing .* 1 keys unknown"):
        utmos.load(["utmos"], CPU, {"checkpoint": str(tmp_path / "other.pt")})


def test_what_is_missing_is_named_with_its_address(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    need = utmos.needs(["utmos"], {})[-1]
    assert not need.available
    assert need.size_mb == 411
    assert "tarepan/SpeechMOS/releases" in need.how
    assert utmos.needs(["utmos"], {"checkpoint": str(tmp_path)})[-1].available
