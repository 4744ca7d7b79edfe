"""The SAN-M encoder against the original's vectors, and that padding does not leak into shorter items."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from bench.codecs.nn.sensevoice import PROMPT, SenseVoice


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def golden(shared):
    return load_file(shared / "golden/flexicodec/tiny_sensevoice.safetensors")


@pytest.fixture(scope="module")
def model(golden):
    model = SenseVoice(in_width=40, width=32, hidden=64, num_heads=4, num_blocks=3, num_tp_blocks=2, vocabulary_size=50).eval()
    model.load_state_dict({name.removeprefix("w/"): tensor for name, tensor in golden.items() if name.startswith("w/")})
    return model


@torch.inference_mode()
def test_last_block_before_tp_matches_the_original(golden, model):
    found = model(golden["x"])
    assert relative_error(found, golden["hidden_out"][:, len(PROMPT) :]) < 1e-5
    assert relative_error(found, golden["hiddens/2"][:, len(PROMPT) :]) < 1e-5


@torch.inference_mode()
def test_logits_come_from_the_tp_blocks(golden, model):
    expected = model.ctc.ctc_lo(golden["encoder_out"][:, len(PROMPT) :])
    assert relative_error(model.logits(golden["x"]), expected) < 1e-5


@torch.inference_mode()
def test_masked_batch_matches_the_original_and_single_items(golden, model):
    lengths = torch.tensor([20, 13])
    found = model(golden["x"], lengths)
    expected = golden["masked_20_13/hidden_out"][:, len(PROMPT) :]
    for item, length in enumerate(lengths.tolist()):
        assert relative_error(found[item, :length], expected[item, :length]) < 1e-5
        alone = model(golden["x"][item : item + 1, :length])
        assert relative_error(found[item, :length], alone[0]) < 1e-5
