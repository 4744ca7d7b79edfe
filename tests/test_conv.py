"""The convolutional parts against independent implementations: PyTorch's own weight norm, SciPy's resampling, the formulas."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from torch import nn

from bench.codecs.nn.conv import (
    AntiAliasedSnake,
    DecoderBlock,
    EncoderBlock,
    ResidualLSTM,
    ResidualUnit,
    Snake,
    SnakeBeta,
    WNConv1d,
    WNConvTranspose1d,
    WNPointwise,
    half_band_filter,
)

Module = TypeVar("Module", bound=nn.Module)


def randomised(module: Module) -> Module:
    """Every parameter drawn anew, so that no default hides a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize(
    ("ours", "plain", "x", "shapes"),
    [
        (WNConv1d(4, 6, 3, stride=2, padding=1), nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9), {"g": (6, 1, 1), "v": (6, 4, 3)}),
        (WNConvTranspose1d(4, 6, 4, stride=2), nn.ConvTranspose1d(4, 6, 4, stride=2), (2, 4, 9), {"g": (4, 1, 1), "v": (4, 6, 4)}),
        (WNPointwise(4, 6), nn.Linear(4, 6), (2, 9, 4), {"g": (6, 1), "v": (6, 4)}),
    ],
    ids=["conv", "transposed", "linear"],
)
def test_weight_norm_equals_pytorchs_under_the_released_names(ours, plain, x, shapes):
    randomised(ours)
    assert {name: tuple(tensor.shape) for name, tensor in ours.state_dict().items() if name != "bias"} == {
        "weight_g": shapes["g"],
        "weight_v": shapes["v"],
    }
    theirs = nn.utils.parametrizations.weight_norm(plain)
    theirs.load_state_dict(ours.state_dict())  # it takes the older names, and gives them others
    x = torch.randn(x, generator=torch.Generator().manual_seed(1))
    found = ours(x.mT).mT if isinstance(ours, WNPointwise) else ours(x)
    torch.testing.assert_close(found, theirs(x))


def test_a_fresh_layer_has_the_weights_that_it_was_initialised_with():
    torch.manual_seed(3)
    plain = nn.Conv1d(4, 6, 3)
    torch.manual_seed(3)
    torch.testing.assert_close(WNConv1d(4, 6, 3).weight, plain.weight)


def test_a_used_weight_normed_layer_can_be_copied_and_trained():
    layer = WNConv1d(4, 6, 3)
    gradients = torch.autograd.grad(layer(torch.ones(1, 4, 5)).square().sum(), [layer.weight_g, layer.weight_v])
    assert all(bool(gradient.any()) for gradient in gradients)
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)


def test_snake_and_snake_beta_follow_their_formulas():
    x = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    snake, snake_beta = randomised(Snake(3)), randomised(SnakeBeta(3))
    alpha = snake.alpha.detach().numpy()
    np.testing.assert_allclose(snake(x).detach(), x + np.sin(alpha * x.numpy()) ** 2 / (alpha + 1e-9), rtol=1e-5)
    a, b = (np.exp(parameter.detach().numpy())[:, None] for parameter in (snake_beta.alpha, snake_beta.beta))
    np.testing.assert_allclose(snake_beta(x).detach(), x + np.sin(a * x.numpy()) ** 2 / b, rtol=1e-5)
    torch.testing.assert_close(SnakeBeta(3)(x), Snake(3)(x))  # alpha = exp(0) = 1


def test_half_band_filter_has_the_published_taps():
    half = [0.00202896469, 0.00938946567, -0.0255434588, -0.0576573834, 0.128572583, 0.443209797]
    torch.testing.assert_close(half_band_filter().flatten(), torch.tensor(half + half[::-1]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_resampling_by_two_equals_scipy_on_replicated_edges(length):
    part = AntiAliasedSnake(3)
    x = torch.randn(1, 3, length, generator=torch.Generator().manual_seed(length))
    taps = half_band_filter().flatten().double().numpy()

    expected = upfirdn(2 * taps, np.pad(x[0].double().numpy(), ((0, 0), (5, 5)), mode="edge"), up=2)[:, 15:-15]
    np.testing.assert_allclose(part.upsample(x)[0], expected, rtol=0, atol=1e-6)
    padded = np.pad(expected, ((0, 0), (5, 6)), mode="edge")
    lowered = np.stack([np.convolve(row, taps, mode="valid")[::2] for row in padded])
    np.testing.assert_allclose(part.downsample(part.upsample(x))[0], lowered, rtol=0, atol=1e-6)


def test_the_anti_aliased_activation_folds_less_of_a_harmonic_back():
    # sin^2 makes a harmonic at 0.8 cycles a sample of a tone at 0.4; sampled plainly it lies at 0.2. Twelve taps halve it, no more.
    time = torch.arange(1000)
    tone = torch.sin(2 * torch.pi * 0.4 * time)[None, None]

    def level(y: torch.Tensor) -> float:
        return float(torch.fft.rfft(y.flatten() * torch.hann_window(1000)).abs()[200])

    aliased, plain = level(AntiAliasedSnake(1)(tone).detach()), level(SnakeBeta(1)(tone).detach())
    assert aliased < 0.5 * plain


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_a_residual_unit_adds_to_its_input_within_its_reach(dilation):
    unit = randomised(ResidualUnit(2, dilation, Snake))
    x = torch.randn(1, 2, 80, generator=torch.Generator().manual_seed(0))
    y = unit(x)
    torch.testing.assert_close(y - x, unit.block(x))
    x[..., 40] += 1
    changed = (unit(x) - y).detach().abs().amax((0, 1)).nonzero().flatten()
    assert (int(changed.min()), int(changed.max())) == (40 - 3 * dilation, 40 + 3 * dilation)


@pytest.mark.parametrize("stride", [2, 4, 5, 8])
def test_blocks_change_the_rate_by_their_stride(stride):
    x = torch.randn(1, 2, 4 * stride, generator=torch.Generator().manual_seed(0))
    halved = EncoderBlock(2, 3, stride, Snake)(x)
    assert halved.shape == (1, 3, 4)
    assert DecoderBlock(3, 2, stride, Snake, output_padding=stride % 2)(halved).shape == x.shape
    assert DecoderBlock(3, 2, stride, Snake)(halved).shape[-1] == 4 * stride - stride % 2


def test_residual_lstm_runs_forward_in_time_and_keeps_its_input():
    block = randomised(ResidualLSTM(4))
    x = torch.randn(1, 4, 20, generator=torch.Generator().manual_seed(0))
    y = block(x)
    later = x.clone()
    later[..., 12] += 1
    torch.testing.assert_close(block(later)[..., :12], y[..., :12])
    assert not torch.allclose(block(later)[..., 13:], y[..., 13:])
    with torch.no_grad():
        for name, parameter in block.lstm.named_parameters():
            if name.endswith("_l1"):
                parameter.zero_()
    torch.testing.assert_close(block(x), x)  # a second layer of zeros puts out zeros
