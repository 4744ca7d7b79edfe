"""Mel filterbanks, on Slaney's scale: what the metrics and the losses of training share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, unit_area: bool = True) -> Tensor:
    """Triangles from 0 Hz to half the sample rate, float32 [n_mels, n_fft // 2 + 1].

    unit_area   each triangle has area 1 over Hz (Slaney's norm); else height 1
    """
    import torch

    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    corners = mel_edges(sample_rate, n_mels + 1)
    low, centre, high = (corners[i : n_mels + i, None] for i in range(3))
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    if unit_area:
        triangles *= 2 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


def mel_edges(sample_rate: int, bands: int) -> np.ndarray:
    """The edges, in Hz, of `bands` of equal width on the scale, from 0 Hz to half the sample rate: float64 [bands + 1]."""
    return _mel_to_hz(np.linspace(0, _hz_to_mel(np.array(sample_rate / 2)), bands + 1))


def _hz_to_mel(frequency: np.ndarray) -> np.ndarray:
    """Linear up to 1 kHz = 15 mel, then 27 mel for every factor of 6.4."""
    return np.where(frequency < 1000, frequency * 3 / 200, 15 + 27 * np.log(np.maximum(frequency, 1000) / 1000) / np.log(6.4))


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
