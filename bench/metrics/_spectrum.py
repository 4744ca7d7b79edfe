"""Spectra, mel filterbanks, and the distance that the spectral metrics share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.dataset import Utterance
from bench.metric import Audio, MetricFailure
from bench.record import Score

RATES = {"": 16000, "_22k": 22050, "_24k": 24000, "_44k": 44100}  # suffix of a column's name -> Hz
MIN_SAMPLES = 1025  # the longest window, of 2048 samples, reflects 1024 at either end

DAC_CITATION = """@inproceedings{kumar2023dac,
  title     = {High-Fidelity Audio Compression with Improved {RVQGAN}},
  author    = {Kumar, Rithesh and Seetharaman, Prem and Luebs, Alejandro and Kumar, Ishaan and Kumar, Kundan},
  booktitle = {NeurIPS},
  year      = {2023},
}"""
LFSC_CITATION = """@inproceedings{casanova2025lfsc,
  title     = {Low Frame-rate Speech Codec: a Codec Designed for Fast High-quality Speech {LLM} Training and Inference},
  author    = {Casanova, Edresson and Langman, Ryan and Neekhara, Paarth and Hussain, Shehzeen and Li, Jason and others},
  booktitle = {ICASSP},
  year      = {2025},
  note      = {arXiv:2409.12117},
}"""


class SpectralDistance:
    """The sum over `features` of the mean absolute difference between reference and degraded.

    features   of audio float32 [T], each of any shape; the reference's are computed once
    """

    def __init__(self, name: str, sample_rate: int, features: Callable[[Tensor], Iterable[Tensor]]) -> None:
        self.names = (name,)
        self.sample_rate = sample_rate
        self._features = features

    def prepare(self, reference: Utterance, audio: Audio) -> list[Tensor]:
        if len(audio) < MIN_SAMPLES:
            raise MetricFailure(f"{len(audio)} samples at {self.sample_rate} Hz are too few: the longest window needs {MIN_SAMPLES}")
        return list(self._features(torch.tensor(audio)))

    def score(self, prepared: list[Tensor], degraded: Audio) -> Mapping[str, Score]:
        pairs = zip(prepared, self._features(torch.tensor(degraded)), strict=True)
        return {self.names[0]: Score(sum(F.l1_loss(ours, theirs).item() for ours, theirs in pairs))}


def amplitude(audio: Tensor, window: Tensor, hop_length: int, pad_mode: str = "reflect") -> Tensor:
    """|STFT| of `audio` float32 [..., T] in frames centred on multiples of the hop: float32 [..., len(window) // 2 + 1, F]."""
    return torch.stft(audio, len(window), hop_length, window=window, pad_mode=pad_mode, return_complex=True).abs()


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, unit_area: bool = True) -> Tensor:
    """Triangles on Slaney's mel scale from 0 Hz to half the sample rate, float32 [n_mels, n_fft // 2 + 1].

    unit_area   each triangle has area 1 over Hz (Slaney's norm); else height 1
    """
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
