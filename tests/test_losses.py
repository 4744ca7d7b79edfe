"""Losses and discriminators against golden values of the original implementations, and their own properties."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.codecs.training import discriminators, losses


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict:
    return json.loads((shared / "golden" / "flexicodec" / "losses.json").read_text())


@pytest.fixture(scope="module")
def pair(shared: Path) -> tuple[Tensor, Tensor]:
    """The decoded and the recorded audio of the golden values, [2, 48000] each."""
    tensors = load_file(shared / "golden" / "flexicodec" / "losses_inputs.safetensors")
    return tensors["fake"][:, 0], tensors["real"][:, 0]


@pytest.mark.parametrize("sample_rate", [16000, 24000])
def test_mel_loss_is_half_of_the_originals_which_weighs_logs_twice(golden: dict, pair: tuple[Tensor, Tensor], sample_rate: int) -> None:
    loss = losses.MelLoss(sample_rate)(*pair)
    assert 2 * float(loss) == pytest.approx(golden[f"mel_loss_sr{sample_rate}"], rel=1e-5)


def test_mel_loss_taken_in_turns_is_the_same_on_average(pair: tuple[Tensor, Tensor]) -> None:
    whole, parts = losses.MelLoss(16000), losses.MelLoss(16000, turns=3)
    assert sum(float(parts(*pair, step)) for step in range(3)) / 3 == pytest.approx(float(whole(*pair)), rel=1e-6)
    assert float(parts(*pair)) == pytest.approx(float(whole(*pair)))


def test_mel_loss_has_a_gradient_on_digital_silence() -> None:
    silence = torch.zeros(1, 4000, requires_grad=True)
    losses.MelLoss(16000)(silence, torch.full((1, 4000), 0.1)).backward()
    assert silence.grad is not None
    assert bool(silence.grad.isfinite().all())


@pytest.mark.slow  # 47 million parameters
def test_discriminators_and_gan_losses_match_the_original(shared: Path, golden: dict, pair: tuple[Tensor, Tensor]) -> None:
    spec = importlib.util.spec_from_file_location("detinit", shared / "golden" / "flexicodec" / "detinit.py")
    assert spec is not None
    assert spec.loader is not None
    detinit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(detinit)

    judge = discriminators.dac_discriminators()
    shapes = {name: tuple(tensor.shape) for name, tensor in judge.state_dict().items()}
    assert shapes == {name: tuple(shape) for name, shape in golden["disc_state"].items()}
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in detinit.fill_state_dict(shapes).items()})
    with torch.no_grad():
        degraded, reference = judge(pair[0]), judge(pair[1])
    assert [[list(layer.shape) for layer in layers] for layers in degraded] == golden["fmap_shapes"]
    assert float(losses.discriminator_loss(degraded, reference)) == pytest.approx(golden["disc_loss"], rel=1e-5)
    assert float(losses.adversarial_loss(degraded)) == pytest.approx(golden["gen_adv"], rel=1e-5)
    assert float(losses.feature_matching_loss(degraded, reference)) == pytest.approx(golden["gen_feat"], rel=1e-5)


def test_bigcodec_discriminators_judge_every_period_and_window() -> None:
    judge = discriminators.bigcodec_discriminators()
    with torch.no_grad():
        layers = judge(torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)))
    assert len(layers) == 10
    assert {len(each) for each in layers} == {6}
    assert all(each[-1].shape[1] == 1 for each in layers)


def test_discriminators_do_not_hear_level_or_offset(pair: tuple[Tensor, Tensor]) -> None:
    judge = discriminators.Discriminators([discriminators.PeriodDiscriminator(3, (4, 4))])
    with torch.no_grad():
        assert torch.allclose(judge(pair[1])[0][-1], judge(0.1 * pair[1] + 0.2)[0][-1], atol=1e-4)


def test_stft_loss_is_zero_on_equal_audio_and_grows_with_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 8000, generator=generator), torch.randn(2, 8000, generator=generator)
    loss = losses.StftLoss()
    assert float(loss(clean, clean)) == 0.0
    assert float(loss(clean + 0.1 * noise, clean)) < float(loss(clean + noise, clean))
