"""BigCodec's VQ-GAN (Xin et al. 2024) as CodecSlime has it: its own backbone at 80 Hz, and the fixed-rate baselines at other strides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.codecs.nn.conv import AntiAliasedSnake, DecoderBlock, EncoderBlock, ResidualLSTM, WNConv1d
from bench.codecs.nn.fsq import FSQ
from bench.codecs.nn.vq import LinearFactorizedVQ, Quantised

Variant = Literal["vq8k", "fsq18k"]
CODEBOOK = "decoder.quantizer.layers.0._codebook.weight"  # only vq8k has one
FSQ_LEVELS = (5, 5, 3, 3, 3, 3, 3, 3)


@dataclass(frozen=True)
class Sizes:
    """Sizes of CodecSlime's released network; its copies of other sizes differ in nothing else.

    encoder_channels  after the first convolution; doubled by each of the encoder's blocks
    decoder_channels  after the first convolution; halved by each of the decoder's blocks
    codebook_size     of vq8k
    strides           of the encoder's blocks; the decoder has them reversed
    levels            of fsq18k
    """

    encoder_channels: int = 48
    decoder_channels: int = 1536
    latent_dim: int = 1024
    codebook_size: int = 8192
    strides: tuple[int, ...] = (2, 2, 2, 5, 5)
    levels: tuple[int, ...] = FSQ_LEVELS


class ConvEncoder(nn.Module):
    """Audio [B, T] to latents [B, D, F], F = T / hop_length."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [sizes.encoder_channels * 2**i for i in range(len(sizes.strides) + 1)]
        self.block = nn.Sequential(
            WNConv1d(1, widths[0], 7, padding=3),
            *(EncoderBlock(widths[i], widths[i + 1], stride, AntiAliasedSnake) for i, stride in enumerate(sizes.strides)),
            ResidualLSTM(widths[-1]),
            AntiAliasedSnake(widths[-1]),
            WNConv1d(widths[-1], sizes.latent_dim, 3, padding=1),
        )

    def forward(self, audio: Tensor) -> Tensor:
        return self.block(audio[:, None])


class SingleVQ(nn.Module):
    """The quantiser of vq8k: released as a residual stack of one."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.codebook_size = sizes.codebook_size
        self.layers = nn.Sequential(LinearFactorizedVQ(sizes.latent_dim, sizes.codebook_size))

    def forward(self, x: Tensor) -> Quantised:
        return self.layers(x)

    def decode(self, tokens: Tensor) -> Tensor:
        return self.layers[0].decode(tokens)  # type: ignore[operator]


Quantizer = SingleVQ | FSQ


class ConvDecoder(nn.Module):
    """Latents [B, D, F] to audio [B, F * hop_length]; holds the quantiser, as the released files have it."""

    def __init__(self, quantizer: Quantizer, sizes: Sizes) -> None:
        super().__init__()
        self.quantizer = quantizer
        widths = [sizes.decoder_channels // 2**i for i in range(len(sizes.strides) + 1)]
        self.model = nn.Sequential(
            WNConv1d(sizes.latent_dim, widths[0], 7, padding=3),
            ResidualLSTM(widths[0]),
            *(
                DecoderBlock(widths[i], widths[i + 1], stride, AntiAliasedSnake, output_padding=stride % 2)
                for i, stride in enumerate(reversed(sizes.strides))
            ),
            AntiAliasedSnake(widths[-1]),
            WNConv1d(widths[-1], 1, 7, padding=3),
            nn.Tanh(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.model(features)[:, 0]


class BigCodec(nn.Module):
    """The network under the tensor names of the released files; the audio's length is to be a multiple of `hop_length`."""

    def __init__(self, variant: Variant, sizes: Sizes) -> None:
        super().__init__()
        self.hop_length = math.prod(sizes.strides)
        self.encoder = ConvEncoder(sizes)
        self.decoder = ConvDecoder(SingleVQ(sizes) if variant == "vq8k" else FSQ(sizes.latent_dim, sizes.levels), sizes)

    @property
    def quantizer(self) -> Quantizer:
        return self.decoder.quantizer


def sizes_of(tensors: Mapping[str, Tensor], levels: Sequence[int] = FSQ_LEVELS) -> Sizes:
    """Of the network that `tensors` fill; where one can not be told it is the released one, and loading then names what is missing.

    levels   of its FSQ, which no tensor tells
    """
    released = Sizes()

    def length(name: str, otherwise: int) -> int:
        return len(tensors[name]) if name in tensors else otherwise

    def stride(block: int) -> int:
        name = f"encoder.block.{block + 1}.block.4.weight_v"  # kernels are two strides long
        return tensors[name].shape[-1] // 2 if name in tensors else released.strides[block]

    return Sizes(
        encoder_channels=length("encoder.block.0.bias", released.encoder_channels),
        decoder_channels=length("decoder.model.0.bias", released.decoder_channels),
        latent_dim=length("encoder.block.8.bias", released.latent_dim),
        codebook_size=length(CODEBOOK, released.codebook_size),
        strides=tuple(map(stride, range(len(released.strides)))),
        levels=tuple(levels),
    )


def unfilled(tensors: Mapping[str, Tensor], variant: Variant | None = None, levels: Sequence[int] = FSQ_LEVELS) -> BigCodec:
    """The network that `tensors` will fill, without values: drawing 160 million random numbers, to overwrite them, takes seconds.

    variant   None for the one that `tensors` tell
    levels    of its FSQ, if it has one
    """
    with torch.device("meta"):
        network = BigCodec(variant or ("vq8k" if CODEBOOK in tensors else "fsq18k"), sizes_of(tensors, levels))
    return network.to_empty(device="cpu")
