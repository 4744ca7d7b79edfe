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

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random tensors, by the names and shapes of utmos22_strong_step7459_v1.pt: 225 of them, 102.8 million values."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def add(name: str, *shape: int, scale: float | None = None) -> None:
        spread = scale if scale is not None else float(np.prod(shape[1:])) ** -0.5
        tensors[name] = spread * torch.randn(shape, generator=generator)

    def add_norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=generator)
        add(f"{name}.bias", width, scale=0.1)

    def add_linear(name: str, width_in: int, width_out: int) -> None:
        add(f"{name}.weight", width_out, width_in)
        add(f"{name}.bias", width_out, scale=0.1)

    add("wav2vec2.mask_emb", 768, scale=0.1)
    for i, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        add(f"wav2vec2.feature_extractor.conv_layers.{i}.0.weight", 512, 512 if i else 1, kernel)
    add_norm("wav2vec2.feature_extractor.conv_layers.0.2", 512)
    add_norm("wav2vec2.layer_norm", 512)
    add_linear("wav2vec2.post_extract_proj", 512, 768)
    add("wav2vec2.encoder.pos_conv.0.bias", 768, scale=0.1)
    add("wav2vec2.encoder.pos_conv.0.weight_g", 1, 1, 128, scale=0.5)
    add("wav2vec2.encoder.pos_conv.0.weight_v", 768, 48, 128)
    add_norm("wav2vec2.encoder.layer_norm", 768)
    for i in range(12):
        layer = f"wav2vec2.encoder.layers.{i}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            add_linear(f"{layer}.self_attn.{part}", 768, 768)
        add_linear(f"{layer}.fc1", 768, 3072)
        add_linear(f"{layer}.fc2", 3072, 768)
        add_norm(f"{layer}.self_attn_layer_norm", 768)
        add_norm(f"{layer}.final_layer_norm", 768)
    add("domain_emb", 1, 128, scale=1.0)
    add("judge_emb", 1, 128, scale=1.0)
    for suffix in ("", "_reverse"):
        add(f"blstm.weight_ih_l0{suffix}", 2048, 1024)
        add(f"blstm.weight_hh_l0{suffix}", 2048, 512)
        add(f"blstm.bias_ih_l0{suffix}", 2048, scale=0.1)
        add(f"blstm.bias_hh_l0{suffix}", 2048, scale=0.1)
    add_linear("projection.0", 1024, 2048)
    add_linear("projection.2", 2048, 1)
    assert len(tensors) == 225
    assert round(sum(tensor.numel() for tensor in tensors.values()) / 1e6, 1) == 102.8
    return tensors


@pytest.fixture(scope="module")
def checkpoint(published: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("utmos") / "utmos.pt"
    torch.save(published, path)
    return path


def mos(weights: dict[str, Tensor], audio: Tensor) -> float:
    """UTMOS22 strong of `audio` [T], step by step."""

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = audio[None, None]
    for i, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        x = F.conv1d(x, weights[f"wav2vec2.feature_extractor.conv_layers.{i}.0.weight"], stride=stride)
        if i == 0:
            group = "wav2vec2.feature_extractor.conv_layers.0.2"
            x = F.group_norm(x, 512, weights[f"{group}.weight"], weights[f"{group}.bias"])
        x = F.gelu(x)
    x = linear("wav2vec2.post_extract_proj", norm("wav2vec2.layer_norm", x.transpose(1, 2)))[0]  # [F, 768]
    gain, direction = (weights[f"wav2vec2.encoder.pos_conv.0.weight_{part}"] for part in "gv")
    kernel = gain * direction / direction.square().sum((0, 1), keepdim=True).sqrt()
    position = F.conv1d(x.T[None], kernel, weights["wav2vec2.encoder.pos_conv.0.bias"], padding=64, groups=16)[0, :, :-1]
    x = norm("wav2vec2.encoder.layer_norm", x + F.gelu(position.T))
    for i in range(12):
        layer = f"wav2vec2.encoder.layers.{i}"
        query, key, value = (linear(f"{layer}.self_attn.{p}_proj", x).unflatten(-1, (12, 64)).transpose(0, 1) for p in "qkv")
        attended = torch.softmax(query @ key.transpose(1, 2) / 8, dim=-1) @ value
        x = norm(f"{layer}.self_attn_layer_norm", x + linear(f"{layer}.self_attn.out_proj", attended.transpose(0, 1).flatten(1)))
        x = norm(f"{layer}.final_layer_norm", x + linear(f"{layer}.fc2", F.gelu(linear(f"{layer}.fc1", x))))
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
    scores = linear("projection.2", linear("projection.0", torch.cat(directions, dim=1)).relu())
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
