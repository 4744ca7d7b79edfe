"""Spectra, and the distance that the spectral metrics share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

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
