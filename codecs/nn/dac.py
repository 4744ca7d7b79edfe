"""The convolutional encoder and decoder of DAC (Kumar et al. 2023, arXiv 2306.06546), under the tensor names of its released files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from bench.codecs.nn.conv import DecoderBlock, EncoderBlock, Snake, WNConv1d


class DACEncoder(nn.Module):
    """Audio float32 [B, T], T a multiple of `hop_length`, to features [B, latent_dim, T / hop_length].

    channels    of the first layer; each stride doubles them
    strides     (2, 4, 5, 8) in DAC's 24 kHz model, hop 320
    latent_dim  D; as many as the last block has (DAC) unless given
    """

    def __init__(self, channels: int, strides: Sequence[int], latent_dim: int | None = None) -> None:
        super().__init__()
        self.hop_length = math.prod(strides)
        widths = [channels * 2**i for i in range(len(strides) + 1)]
        self.latent_dim = latent_dim or widths[-1]
        self.block = nn.Sequential(
            WNConv1d(1, widths[0], 7, padding=3),
            *(EncoderBlock(widths[i], widths[i + 1], stride, Snake) for i, stride in enumerate(strides)),
            Snake(widths[-1]),
            WNConv1d(widths[-1], self.latent_dim, 3, padding=1),
        )

    def forward(self, audio: Tensor) -> Tensor:
        return self.block(audio[:, None])


class DACDecoder(nn.Module):
    """Features float32 [B, latent_dim, F] to audio [B, T] in [-1, 1].

    T is F times the product of the strides where all are even. An odd stride s makes s F - 1 of F frames (DAC's transposed convolutions
    have no output padding), so the audio ends early: by 8 samples at DAC's (8, 5, 4, 2), by 16 at FlexiCodec's (2, 8, 5, 4, 4).

    channels    of the first layer; each stride halves them
    """

    def __init__(self, latent_dim: int, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        widths = [channels // 2**i for i in range(len(strides) + 1)]
        self.model = nn.Sequential(
            WNConv1d(latent_dim, widths[0], 7, padding=3),
            *(DecoderBlock(widths[i], widths[i + 1], stride, Snake) for i, stride in enumerate(strides)),
            Snake(widths[-1]),
            WNConv1d(widths[-1], 1, 7, padding=3),
            nn.Tanh(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.model(features)[:, 0]
