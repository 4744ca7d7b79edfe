"""The losses of codec training, each once: mel, STFT, least-squares GAN, feature matching, and FlexiCodec's two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))  # window, mels (DAC)


def mel_filters(sample_rate: int, n_fft: int, num_mels: int) -> Tensor:
    """Slaney-scale, Slaney-normalised triangles float32 [num_mels, n_fft / 2 + 1]."""
    import librosa

    return torch.from_numpy(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=num_mels))


class MelLoss(nn.Module):
    """L1 between log10 mel magnitudes at seven window lengths, summed over them (DAC's training loss).

    alternate   each step takes every other scale, in turn, and counts it twice: the same loss on average at half the cost
    """

    def __init__(self, sample_rate: int, scales: tuple[tuple[int, int], ...] = MEL_SCALES, alternate: bool = False) -> None:
        super().__init__()
        self.scales, self.alternate = scales, alternate
        for window, num_mels in scales:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters_{window}", mel_filters(sample_rate, window, num_mels).T.contiguous(), persistent=False)

    def forward(self, degraded: Tensor, reference: Tensor, step: int | None = None) -> Tensor:
        """Scalar of two waveforms [B, T]; without a `step`, over all scales."""
        alternate = self.alternate and step is not None
        scales = self.scales[step % 2 :: 2] if alternate else self.scales
        with torch.autocast(degraded.device.type, enabled=False):
            losses = [F.l1_loss(self.log_mel(degraded, window), self.log_mel(reference, window)) for window, _ in scales]
            return torch.stack(losses).sum() * (2 if alternate else 1)

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
