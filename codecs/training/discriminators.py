"""The discriminators: by period (HiFi-GAN), by complex STFT in bands (DAC), by STFT magnitude (BigCodec)."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.codecs.nn.conv import WeightNorm

PERIODS = (2, 3, 5, 7, 11)
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as shares of the spectrum


class WNConv2d(WeightNorm, nn.Conv2d):  # type: ignore[misc, override]
    """nn.Conv2d with weight norm; weight_g is [C_out, 1, 1, 1]."""


class PeriodDiscriminator(nn.Module):
    """Two-dimensional convolutions over audio [B, T] folded to [B, 1, T / period, period]."""

    def __init__(self, period: int, channels: tuple[int, ...] = (32, 128, 512, 1024, 1024), last_kernel: int = 3) -> None:
        super().__init__()
        self.period = period
        widths = (1, *channels)
        strides = (3,) * (len(channels) - 1) + (1,)
        self.convs = nn.ModuleList(
            nn.Sequential(WNConv2d(width, following, (5, 1), (stride, 1), (2, 0)), nn.LeakyReLU(0.1))
            for (width, following), stride in zip(itertools.pairwise(widths), strides, strict=True)
        )
        self.conv_post = WNConv2d(widths[-1], 1, (last_kernel, 1), padding=(last_kernel // 2, 0))

    def forward(self, audio: Tensor) -> list[Tensor]:
        # a whole period is added where none is missing, as in the original: the golden shapes have it
        padded = F.pad(audio[:, None], (0, self.period - audio.shape[-1] % self.period), mode="reflect")
        x = padded.reshape(len(audio), 1, -1, self.period)
        outputs = []
        for conv in self.convs:
            x = conv(x)
            outputs.append(x)
        return [*outputs, self.conv_post(x)]


class BandDiscriminator(nn.Module):
    """Convolutions over the complex STFT [B, 2, F, bins], each of five bands with weights of its own, joined at the end."""

    window: Tensor

    def __init__(self, window: int, channels: int = 64) -> None:
        super().__init__()
        self.window_length, self.hop = window, window // 4
        bins = window // 2 + 1
        edges = [int(edge * bins) for edge in BANDS]
        self.bands = list(itertools.pairwise(edges))
        self.register_buffer("window", torch.hann_window(window), persistent=False)

        def band() -> nn.Sequential:
            shapes = [(2, (3, 9), (1, 1)), *[(channels, (3, 9), (1, 2))] * 3, (channels, (3, 3), (1, 1))]
            return nn.Sequential(
                *(
                    nn.Sequential(WNConv2d(width, channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2)), nn.LeakyReLU(0.1))
                    for width, kernel, stride in shapes
                )
            )

        self.band_convs = nn.ModuleList(band() for _ in self.bands)
        self.conv_post = WNConv2d(channels, 1, (3, 3), padding=(1, 1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        spectrum = self.spectrum(audio)
        outputs, ends = [], []
        for (low, high), convs in zip(self.bands, self.band_convs, strict=True):
            x = spectrum[..., low:high]
            for conv in convs.children():
                x = conv(x)
                outputs.append(x)
            ends.append(x)
        return [*outputs, self.conv_post(torch.cat(ends, dim=-1))]

    def spectrum(self, audio: Tensor) -> Tensor:
        """Real and imaginary parts [B, 2, F, bins], one frame a hop: F = ceil(T / hop)."""
        margin = (self.window_length - self.hop) // 2
        missing = math.ceil(audio.shape[-1] / self.hop) * self.hop - audio.shape[-1]
        padded = F.pad(audio[:, None], (margin, margin + missing), mode="reflect")[:, 0]
        spectrum = torch.stft(padded.float(), self.window_length, self.hop, window=self.window, return_complex=True)[..., 2:-2]
        return torch.view_as_real(spectrum).permute(0, 3, 2, 1)


class MagnitudeDiscriminator(nn.Module):
    """Convolutions over STFT magnitudes [B, 1, F, bins] (BigCodec's)."""

    window: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.hop = window // 4
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        widths = (1, 32, 64, 128, 256)
        self.convs = nn.ModuleList(
            nn.Sequential(WNConv2d(width, following, 5, 2, 2), nn.LeakyReLU(0.2)) for width, following in itertools.pairwise(widths)
        )
        self.convs.append(nn.Sequential(WNConv2d(256, 512, 3, 1, 1), nn.LeakyReLU(0.2)))
        self.conv_post = WNConv2d(512, 1, 3, padding=1)

    def forward(self, audio: Tensor) -> list[Tensor]:
        spectrum = torch.stft(audio.float(), len(self.window), self.hop, window=self.window, return_complex=True)
        x = torch.view_as_real(spectrum).square().sum(-1).clamp(1e-7, 1e3).sqrt().mT[:, None]
        outputs = []
        for conv in self.convs:
            x = conv(x)
            outputs.append(x)
        return [*outputs, self.conv_post(x)]


class Discriminators(nn.Module):
    """All discriminators of a recipe, on audio [B, T] freed of its mean and scaled to a peak of 0.8."""

    def __init__(self, discriminators: list[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, audio: Tensor) -> list[list[Tensor]]:
        """Of each discriminator the output of every layer, the verdict last."""
        centred = audio - audio.mean(dim=-1, keepdim=True)
        scaled = 0.8 * centred / (centred.abs().amax(dim=-1, keepdim=True) + 1e-9)
        return [discriminator(scaled) for discriminator in self.discriminators]


def dac_discriminators() -> Discriminators:
    """DAC's, as FlexiCodec and TFC train with them: five periods and three banded STFTs."""
    periods = (PeriodDiscriminator(period) for period in PERIODS)
    return Discriminators([*periods, *(BandDiscriminator(window) for window in (2048, 1024, 512))])


def bigcodec_discriminators() -> Discriminators:
    """BigCodec's, as CodecSlime trains with them: five narrower periods and five STFT magnitudes."""
    periods = (PeriodDiscriminator(period, (16, 64, 256, 512, 512), last_kernel=2) for period in PERIODS)
    return Discriminators([*periods, *(MagnitudeDiscriminator(window) for window in (128, 256, 512, 1024, 2048))])
