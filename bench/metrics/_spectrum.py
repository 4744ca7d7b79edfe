"""Spectra, mel filterbanks, and the distance that the spectral metrics share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, entries
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    from torch import Tensor

    Features = Callable[[Tensor], Iterable[Tensor]]  # of audio float32 [T]

RATES = {"": 16000, "_22k": 22050, "_24k": 24000, "_44k": 44100}  # suffix of a column's name -> Hz
MIN_SAMPLES = 1025  # the longest window, of 2048 samples, reflects 1024 at either end


class SpectralDistance:
    """The sum over `features` of the mean absolute difference between reference and degraded.

    features   of audio float32 [T], each of any shape; the reference's are computed once
    """

    def __init__(self, names: tuple[str, ...], sample_rate: int, features: Features) -> None:
        self.names = names
        self.sample_rate = sample_rate
        self._features = features

    def prepare(self, reference: Utterance, audio: Audio) -> list[Tensor]:
        import torch

        if len(audio) < MIN_SAMPLES:
            raise MetricFailure(f"{len(audio)} samples at {self.sample_rate} Hz are too few: the longest window needs {MIN_SAMPLES}")
        return list(self._features(torch.tensor(audio)))

    def score(self, prepared: list[Tensor], degraded: Audio) -> Mapping[str, Score]:
        import torch
        from torch.nn import functional as F

        pairs = zip(prepared, self._features(torch.tensor(degraded)), strict=True)
        return {self.names[0]: Score(sum(F.l1_loss(ours, theirs).item() for ours, theirs in pairs))}


def at_every_rate(definition: Callable[[int], Features], info: MetricInfo) -> dict[str, MetricEntry]:
    """The distance of `definition` (sample rate -> features) at each of RATES; `info` is that of 16 kHz."""
    columns: dict[str, MetricEntry] = {}
    for suffix, sample_rate in RATES.items():
        facts = dataclasses.replace(info, name=f"{info.name}{suffix}", sample_rate=sample_rate)
        columns |= entries(lambda names, device, options, rate=sample_rate: SpectralDistance(names, rate, definition(rate)), facts)
    return columns


def amplitude(audio: Tensor, window: Tensor, hop_length: int, pad_mode: str = "reflect") -> Tensor:
    """|STFT| of `audio` float32 [..., T] in frames centred on multiples of the hop: float32 [..., len(window) // 2 + 1, F]."""
    import torch

    return torch.stft(audio, len(window), hop_length, window=window, pad_mode=pad_mode, return_complex=True).abs()


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, unit_area: bool = True) -> Tensor:
    """Triangles on Slaney's mel scale from 0 Hz to half the sample rate, float32 [n_mels, n_fft // 2 + 1].

    unit_area   each triangle has area 1 over Hz (Slaney's norm); else height 1
    """
    import torch

    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    corners = _mel_to_hz(np.linspace(0, _hz_to_mel(np.array(sample_rate / 2)), n_mels + 2))
    low, centre, high = (corners[i : n_mels + i, None] for i in range(3))
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    if unit_area:
        triangles *= 2 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


def _hz_to_mel(frequency: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear up to 1 kHz = 15 mel, then 27 mel for every factor of 6.4."""
    return np.where(frequency < 1000, frequency * 3 / 200, 15 + 27 * np.log(np.maximum(frequency, 1000) / 1000) / np.log(6.4))


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
