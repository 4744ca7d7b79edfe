"""STFT distances: DAC's, and NeMo's (LFSC's model card)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from bench.metric import Metric
from bench.metrics._checks import check_options
from bench.metrics._spectrum import DAC_CITATION, LFSC_CITATION, RATES, SpectralDistance, amplitude
from bench.needs import Need
from bench.record import MetricInfo

_FLOOR = 1e-5
_NEMO_GUARD = 1e-5  # on the power of every bin

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        *(
            MetricInfo(
                name=f"stft_dac{suffix}",
                unit="",
                version=1,
                sample_rate=sample_rate,
                higher_is_better=False,
                definition="Sum over windows of 2048 and 512 samples of mean |log10 power difference|, floor 1e-5, "
                "and mean |amplitude difference|.",
                source="descript-audio-codec dac/nn/loss.py; audiotools MultiScaleSTFTLoss defaults",
                licence="Apache-2.0 (own implementation)",
                citation=DAC_CITATION,
            )
            for suffix, sample_rate in RATES.items()
        ),
        MetricInfo(
            name="stft_nemo",
            unit="",
            version=1,
            sample_rate=22050,
            higher_is_better=False,
            definition="Mean over symmetric Hann windows of 32 to 2048 samples of mean |ln(1 + amplitude) difference|.",
            source="NeMo 3.0.0 MultiResolutionSTFTLoss, resolutions of audio_codec_low_frame_rate_22050.yaml",
            licence="Apache-2.0 (own implementation)",
            citation=LFSC_CITATION,
        ),
    )
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    return [SpectralDistance(name, METRICS[name].sample_rate, _nemo() if name == "stft_nemo" else _dac()) for name in names]


def _dac() -> Callable[[Tensor], Iterable[Tensor]]:
    windows = [torch.hann_window(size) for size in (2048, 512)]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window in windows:
            spectrum = amplitude(audio, window, len(window) // 4)
            yield 2 * spectrum.clamp_min(_FLOOR).log10()
            yield spectrum

    return features


def _nemo() -> Callable[[Tensor], Iterable[Tensor]]:
    windows = [torch.hann_window(size, periodic=False) for size in (32, 64, 128, 256, 512, 1024, 2048)]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window in windows:
            power = amplitude(audio, window, len(window) // 4).square()
            yield (power + _NEMO_GUARD).sqrt().log1p() / len(windows)

    return features
