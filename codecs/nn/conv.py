"""Convolutional parts of DAC-style codecs: weight-normed layers, Snake activations, encoder and decoder blocks, the LSTM block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[int], nn.Module]  # channels -> a module that keeps [B, C, T]


class WeightNorm(nn.Module):
    """Mixin: weight = weight_g * weight_v / ||weight_v||, norm over all axes but the first (Salimans and Kingma 2016).

    PyTorch's own parametrisation calls the tensors otherwise than the released files (`weight_g`, `weight_v`), and the older function
    that does not is deprecated and leaves modules that can not be copied.
    """

    weight_g: Tensor
    weight_v: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_g = nn.Parameter(torch.norm_except_dim(weight.detach(), 2, 0))
        self.weight_v = nn.Parameter(weight.detach())

    @property
    def weight(self) -> Tensor:  # until __init__ ends this finds no weight_v, and nn.Module falls back to the plain parameter
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


class WNConv1d(WeightNorm, nn.Conv1d):  # type: ignore[misc, override]
    """nn.Conv1d with weight norm; weight_g is [C_out, 1, 1]."""


class WNConvTranspose1d(WeightNorm, nn.ConvTranspose1d):  # type: ignore[misc, override]
    """nn.ConvTranspose1d with weight norm; axis 0 is the input's, so weight_g is [C_in, 1, 1]."""


class WNPointwise(WeightNorm, nn.Linear):  # type: ignore[misc, override]
    """A 1x1 convolution stored as a weight-normed nn.Linear: weight_v is [C_out, C_in], weight_g [C_out, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, F] -> [B, C_out, F]."""
        return super().forward(x.mT).mT


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, alpha per channel (Ziyin et al. 2020), as in DAC."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.alpha * x).sin().square() / (self.alpha + 1e-9)


class SnakeBeta(nn.Module):
    """x + sin(a x)^2 / b with a = exp(alpha), b = exp(beta) per channel, as in BigVGAN and BigCodec."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return x + (alpha * x).sin().square() / (beta + 1e-9)


TAPS = 12  # of the half-band filter below


def half_band_filter() -> Tensor:
    """Low-pass at a quarter of the sample rate, float32 [1, 1, TAPS], sum 1: a sinc under a Kaiser window for 51 dB (BigVGAN's)."""
    attenuation_db = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * 0.3 + 7.95
    window = torch.kaiser_window(TAPS, beta=0.1102 * (attenuation_db - 8.7), periodic=False)
    taps = window * torch.sinc(0.5 * (torch.arange(TAPS) - (TAPS - 1) / 2))
    return (taps / taps.sum()).view(1, 1, TAPS)


class _Upsample2(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", half_band_filter())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, 2T]."""
        channels, edge = x.shape[1], TAPS // 2 - 1
        x = F.pad(x, (edge, edge), mode="replicate")
        x = F.conv_transpose1d(x, (2 * self.filter).expand(channels, -1, -1), stride=2, groups=channels)
        return x[..., 3 * edge : -3 * edge]


class _LowPass2(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", half_band_filter())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 2T] -> [B, C, T]."""
        channels = x.shape[1]
        x = F.pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        return F.conv1d(x, self.filter.expand(channels, -1, -1), stride=2, groups=channels)


class _Downsample2(nn.Module):
    """Exists for the tensor's released name, `downsample.lowpass.filter`."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _LowPass2()

    def forward(self, x: Tensor) -> Tensor:
        return self.lowpass(x)


class AntiAliasedSnake(nn.Module):
    """SnakeBeta at twice the sample rate, so that the harmonics it makes do not fold back (BigVGAN); [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = _Upsample2()
        self.downsample = _Downsample2()

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.act(self.upsample(x)))


class ResidualUnit(nn.Module):
    """x + conv1(act(conv7(act(x)))), the convolution of 7 dilated; [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, dilation: int, activation: Activation) -> None:
        super().__init__()
        self.block = nn.Sequential(
            activation(channels),
            WNConv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation),
            activation(channels),
            WNConv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class EncoderBlock(nn.Module):
    """Three residual units, then a convolution that divides the rate by `stride`: [B, C_in, T] -> [B, C_out, T / stride]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(ResidualUnit(in_channels, dilation, activation) for dilation in (1, 3, 9)),
            activation(in_channels),
            WNConv1d(in_channels, out_channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class DecoderBlock(nn.Module):
    """A transposed convolution that multiplies the rate by `stride`, then three residual units: [B, C_in, T] -> [B, C_out, stride T].

    output_padding  0 in DAC, where an odd stride gives stride T - 1; stride % 2 in BigCodec
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: Activation, output_padding: int = 0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            activation(in_channels),
            WNConvTranspose1d(
                in_channels, out_channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2), output_padding=output_padding
            ),
            *(ResidualUnit(out_channels, dilation, activation) for dilation in (1, 3, 9)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class ResidualLSTM(nn.Module):
    """x + LSTM(x), two layers forward in time; [B, C, F] -> [B, C, F]."""

    def __init__(self, channels: int, num_layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lstm(x.mT)[0].mT
