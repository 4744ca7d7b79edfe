"""STFT distances: DAC's, and NeMo's (LFSC's model card)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.metric import MetricEntry, entries, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.metrics._spectrum import SpectralDistance, amplitude, at_every_rate
from bench.needs import Need
from bench.record import MetricInfo

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics._spectrum import Features

_FLOOR = 1e-5
_NEMO_GUARD = 1e-5  # on the power of every bin

METRICS: Mapping[str, MetricEntry] = {
    **at_every_rate(
        lambda sample_rate: _dac(),
        MetricInfo(
            name="stft_dac",
            unit="",
            version=1,
            sample_rate=16000,
            higher_is_better=False,
            definition="Sum over windows of 2048 and 512 samples of mean |log10 power difference|, floor 1e-5, "
            "and mean |amplitude difference|.",
            source="descript-audio-codec dac/nn/loss.py; audiotools MultiScaleSTFTLoss defaults",
            licence="Apache-2.0 (own implementation)",
            citation=cite("kumar2023dac"),
        ),
    ),
    **entries(
        lambda names, device, options: SpectralDistance(names, 22050, _nemo()),
        MetricInfo(
            name="stft_nemo",
            unit="",
            version=1,
            sample_rate=22050,
            higher_is_better=False,
            definition="Mean over symmetric Hann windows of 32 to 2048 samples of mean |ln(1 + amplitude) difference|.",
            source="NeMo 3.0.0 MultiResolutionSTFTLoss, resolutions of audio_codec_low_frame_rate_22050.yaml",
            licence="Apache-2.0 (own implementation)",
            citation=cite("casanova2025lfsc"),
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


def _dac() -> Features:
    import torch

    windows = [torch.hann_window(size) for size in (2048, 512)]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window in windows:
            spectrum = amplitude(audio, window, len(window) // 4)
            yield 2 * spectrum.clamp_min(_FLOOR).log10()
            yield spectrum

    return features


def _nemo() -> Features:
    import torch

    windows = [torch.hann_window(size, periodic=False) for size in (32, 64, 128, 256, 512, 1024, 2048)]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window in windows:
            power = amplitude(audio, window, len(window) // 4).square()
            yield (power + _NEMO_GUARD).sqrt().log1p() / len(windows)

    return features
