"""The losses of codec training, each once: mel, energies of bands, STFT, least-squares GAN, feature matching, and FlexiCodec's two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.mel import mel_edges, mel_filterbank

MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))  # window, mels (DAC)


class MelLoss(nn.Module):
    """L1 between log10 mel magnitudes at seven window lengths, summed over them (DAC's training loss).

    turns   above 1, a step takes every `turns`-th scale, in turn, and counts it so many times: the same loss on average at less cost
    """

    def __init__(self, sample_rate: int, scales: tuple[tuple[int, int], ...] = MEL_SCALES, turns: int = 1) -> None:
        super().__init__()
        self.scales, self.turns = scales, turns
        for window, num_mels in scales:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters_{window}", mel_filterbank(sample_rate, window, num_mels).T.contiguous(), persistent=False)

    def forward(self, degraded: Tensor, reference: Tensor, step: int | None = None) -> Tensor:
        """Scalar of two waveforms [B, T]; without a `step`, over all scales."""
        turns = 1 if step is None else self.turns
        scales = self.scales if step is None else self.scales[step % turns :: turns]
        with torch.autocast(degraded.device.type, enabled=False):
            losses = [F.l1_loss(self.log_mel(degraded, window), self.log_mel(reference, window)) for window, _ in scales]
            return torch.stack(losses).sum() * turns

    def log_mel(self, audio: Tensor, window: int) -> Tensor:
        spectrum = torch.stft(
            audio.float(), window, window // 4, window=getattr(self, f"window_{window}"), pad_mode="reflect", return_complex=True
        )
        magnitude = torch.view_as_real(spectrum).square().sum(-1).clamp(min=1e-12).sqrt()
        return (magnitude.transpose(1, 2) @ getattr(self, f"filters_{window}")).clamp(min=1e-5).log10()


class StftLoss(nn.Module):
    """Spectral convergence plus L1 of log magnitudes at three resolutions (Yamamoto et al. 2020)."""

    def __init__(self, windows: tuple[int, ...] = (320, 800, 2000)) -> None:
        super().__init__()
        self.windows = windows
        for window in windows:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, degraded: Tensor, reference: Tensor) -> Tensor:
        total = degraded.new_zeros(())
        with torch.autocast(degraded.device.type, enabled=False):
            for window in self.windows:
                got, wanted = self.magnitude(degraded, window), self.magnitude(reference, window)
                convergence = (got - wanted).norm(dim=(1, 2)) / wanted.norm(dim=(1, 2)).clamp(min=1e-3)
                total = total + convergence.mean() + F.l1_loss(got.log(), wanted.log())
        return total / len(self.windows)

    def magnitude(self, audio: Tensor, window: int) -> Tensor:
        spectrum = torch.stft(audio.float(), window, window // 4, window=getattr(self, f"window_{window}"), return_complex=True)
        return torch.view_as_real(spectrum).square().sum(-1).clamp(min=1e-8).sqrt()


class EnergyLoss(nn.Module):
    """L1 between log10 energies of a few wide bands (ours): what MelLoss leaves free.

    Bin by bin, an L1 between logs is least at each bin's median. What a codec can not predict it therefore smooths: peaks come out too
    low, gaps too high, and since the peaks hold the energy, the whole comes out too quiet. A band's energy, a sum of linear power,
    asks for the peaks and hardly for the gaps.

    window   samples, a quarter of them from one to the next
    bands    of equal width on the mel scale, from 0 Hz to half the sample rate
    """

    window: Tensor
    members: Tensor

    def __init__(self, sample_rate: int, window: int = 2048, bands: int = 8) -> None:
        super().__init__()
        self.window_length = window
        edges = torch.from_numpy(mel_edges(sample_rate, bands))
        band = torch.searchsorted(edges[1:-1], torch.arange(window // 2 + 1) * (sample_rate / window), right=True)
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.register_buffer("members", F.one_hot(band, bands).float(), persistent=False)

    def forward(self, degraded: Tensor, reference: Tensor) -> Tensor:
        """Scalar of two waveforms [B, T], log10 of magnitudes as in MelLoss."""
        with torch.autocast(degraded.device.type, enabled=False):
            return F.l1_loss(self.log_energies(degraded), self.log_energies(reference))

    def log_energies(self, audio: Tensor) -> Tensor:
        """float32 [B, F, bands]; a band without energy is at -5."""
        window = self.window_length
        spectrum = torch.stft(audio.float(), window, window // 4, window=self.window, pad_mode="reflect", return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2) @ self.members
        return power.clamp(min=1e-10).log10() / 2


Layers = list[list[Tensor]]  # of each discriminator the output of every layer, the verdict last


def discriminator_loss(degraded: Layers, reference: Layers) -> Tensor:
    """Least squares: the verdict is to be 0 on what was decoded and 1 on what was recorded."""
    verdicts = [(fake[-1], real[-1]) for fake, real in zip(degraded, reference, strict=True)]
    return torch.stack([fake.square().mean() + (1 - real).square().mean() for fake, real in verdicts]).sum()


def adversarial_loss(degraded: Layers) -> Tensor:
    """Least squares: the generator wants a verdict of 1."""
    return torch.stack([(1 - fake[-1]).square().mean() for fake in degraded]).sum()


def feature_matching_loss(degraded: Layers, reference: Layers) -> Tensor:
    """L1 between the layers below the verdicts, each layer's mean summed; the reference's are targets only."""
    pairs = [(f, r.detach()) for fake, real in zip(degraded, reference, strict=True) for f, r in zip(fake[:-1], real[:-1], strict=True)]
    return torch.stack([F.l1_loss(fake, real) for fake, real in pairs]).sum()
