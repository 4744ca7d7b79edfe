"""The small backbone of the shipped models: STFT in, ConvNeXt, inverse STFT out, with a stride at the bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.codecs.nn.fsq import FSQ


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron over channels, with a scaled residual (Vocos, section 3).

    Works on [B, F, C]: both linears read contiguous channels, and the depthwise convolution sees the same memory as
    channels-last [B, C, F, 1], which on a CPU is five times as fast as Conv1d on [B, C, F].
    """

    def __init__(self, width: int, hidden: int, kernel_size: int = 7, scale: float = 0.1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, (kernel_size, 1), padding=(kernel_size // 2, 0), groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.project = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.depthwise(x.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        return x + self.scale * self.project(F.gelu(self.expand(self.norm(mixed))))


class SpectralEncoder(nn.Module):
    """Audio [B, T] to latents [B, D, F], one for every `hop_length * stride` samples: F = ceil(T / (hop_length * stride)).

    The blocks run on one frame a hop at any stride; the last projection takes `stride` neighbouring frames together.
    """

    window: Tensor

    def __init__(
        self, width: int, hidden: int, blocks: int, latent_dim: int, n_fft: int = 800, hop_length: int = 200, stride: int = 1
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.stride = n_fft, hop_length, stride
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.embed = nn.Linear(n_fft // 2 + 1, width)
        self.embed_norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, hidden) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width * stride, latent_dim)

    def forward(self, audio: Tensor) -> Tensor:
        x = self.blocks(self.embed_norm(self.embed(self.log_magnitude(audio))))
        batch, frames, width = x.shape
        return self.project(self.norm(x).reshape(batch, frames // self.stride, width * self.stride)).transpose(1, 2)

    def log_magnitude(self, audio: Tensor) -> Tensor:
        """Log magnitudes [B, F * stride, n_fft / 2 + 1] of windows centred on each hop of `audio` [B, T]."""
        hop = self.hop_length
        margin = (self.n_fft - hop) // 2
        missing = -audio.shape[-1] % (hop * self.stride)
        padded = F.pad(audio.float(), (margin, margin + missing))
        spectrum = torch.stft(padded, self.n_fft, hop, window=self.window, center=False, return_complex=True)
        return spectrum.abs().clamp(min=1e-4).log().transpose(1, 2)


class SpectralDecoder(nn.Module):
    """Latents [B, D, F] to audio [B, F * stride * hop_length]: each frame's log magnitudes and phases, inverted and overlapped."""

    window: Tensor

    def __init__(
        self, width: int, hidden: int, blocks: int, latent_dim: int, n_fft: int = 800, hop_length: int = 200, stride: int = 1
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.stride = n_fft, hop_length, stride
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.embed = nn.Linear(latent_dim, width * stride)
        self.embed_norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, hidden) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_fft + 2)

    def forward(self, latents: Tensor) -> Tensor:
        batch, _, frames = latents.shape
        x = self.embed(latents.transpose(1, 2)).reshape(batch, frames * self.stride, -1)
        log_magnitude, phase = self.head(self.norm(self.blocks(self.embed_norm(x)))).float().chunk(2, dim=-1)
        # exp would let one frame of an untrained head drown the rest; 1e2 is Vocos's limit and above any speech
        magnitude = log_magnitude.clamp(max=4.6).exp()
        return self.overlap_add(torch.polar(magnitude, phase))

    @torch.no_grad()
    def raise_contrast(self, share: float) -> None:
        """Moves the log magnitudes of every frame away from their mean over frequency, by `share` of their distance to it.

        A mel loss asks for medians, so that peaks come out too low and gaps too high (codecs/training/losses.py), and the whole too quiet.
        The head is linear, so this is a change of its weights.
        """
        for values in (self.head.weight, self.head.bias):
            log_magnitudes = values[: self.n_fft // 2 + 1]
            log_magnitudes += share * (log_magnitudes - log_magnitudes.mean(dim=0))

    def overlap_add(self, spectrum: Tensor) -> Tensor:
        """Audio [B, F * hop_length] of `spectrum` complex [B, F, n_fft / 2 + 1], whose windows are centred on each hop."""
        hop, frames = self.hop_length, spectrum.shape[1]
        margin = (self.n_fft - hop) // 2
        pieces = torch.fft.irfft(spectrum, self.n_fft) * self.window
        length = (frames - 1) * hop + self.n_fft
        fold = nn.Fold((1, length), (1, self.n_fft), stride=(1, hop))
        audio = fold(pieces.transpose(1, 2))[:, 0, 0]
        envelope = fold(self.window.square().expand(1, frames, -1).transpose(1, 2))[0, 0, 0]
        return (audio / envelope.clamp(min=1e-8))[:, margin : length - margin]


class SpectralCodec(nn.Module):
    """Spectral encoder, FSQ and spectral decoder; `config` is what a checkpoint of the tiny family keeps in its metadata."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.hop_length: int = config["hop_length"] * config["stride"]
        stft = {name: config[name] for name in ("latent_dim", "n_fft", "hop_length", "stride")}
        self.encoder = SpectralEncoder(config["width"], config["hidden"], config["encoder_blocks"], **stft)
        self.quantizer = FSQ(config["latent_dim"], config["levels"])
        self.decoder = SpectralDecoder(config["width"], config["hidden"], config["decoder_blocks"], **stft)
