"""Mel distances: DAC's training loss, its evaluation setting, and NeMo's (LFSC's model card); three scales of numbers, so three names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from bench.metric import Metric
from bench.metrics._checks import check_options
from bench.metrics._spectrum import DAC_CITATION, LFSC_CITATION, RATES, SpectralDistance, amplitude, mel_filterbank
from bench.needs import Need
from bench.record import MetricInfo

_SEVEN_SCALES = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # window in samples -> mel bins
_TWO_SCALES = {2048: 150, 512: 80}
_FLOOR = 1e-5
_NEMO_GUARD = 1e-5  # on the power of every bin, as NeMo has it where gradients flow

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        *(
            MetricInfo(
                name=f"mel_dac_train{suffix}",
                unit="",
                version=1,
                sample_rate=sample_rate,
                higher_is_better=False,
                definition="Sum over windows of 32 to 2048 samples (5 to 320 bins) of mean |log10 mel amplitude difference|, floor 1e-5.",
                source="descript-audio-codec conf/base.yml (the training loss); audiotools MelSpectrogramLoss",
                licence="Apache-2.0 (own implementation)",
                citation=DAC_CITATION,
            )
            for suffix, sample_rate in RATES.items()
        ),
        *(
            MetricInfo(
                name=f"mel_dac_eval{suffix}",
                unit="",
                version=1,
                sample_rate=sample_rate,
                higher_is_better=False,
                definition="Sum over windows of 2048 and 512 samples (150 and 80 bins) of mean |log10 mel power difference|, floor 1e-5, "
                "and mean |mel amplitude difference|.",
                source="descript-audio-codec scripts/evaluate.py without a configuration; audiotools MelSpectrogramLoss defaults",
                licence="Apache-2.0 (own implementation)",
                citation=DAC_CITATION,
            )
            for suffix, sample_rate in RATES.items()
        ),
        MetricInfo(
            name="mel_nemo",
            unit="",
            version=1,
            sample_rate=22050,
            higher_is_better=False,
            definition="Mean over windows of 32 to 2048 samples (5 to 320 mel bins of height 1) of mean |ln(1 + mel) difference|.",
            source="NeMo 3.0.0 MultiResolutionMelLoss, resolutions of audio_codec_low_frame_rate_22050.yaml",
            licence="Apache-2.0 (own implementation)",
            citation=LFSC_CITATION,
        ),
    )
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    return [SpectralDistance(name, METRICS[name].sample_rate, _DEFINITIONS[name](METRICS[name].sample_rate)) for name in names]


def _dac_train(sample_rate: int) -> Callable[[Tensor], Iterable[Tensor]]:
    scales = [(torch.hann_window(size), mel_filterbank(sample_rate, size, bins)) for size, bins in _SEVEN_SCALES.items()]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window, filterbank in scales:
            yield (filterbank @ amplitude(audio, window, len(window) // 4)).clamp_min(_FLOOR).log10()

    return features


def _dac_eval(sample_rate: int) -> Callable[[Tensor], Iterable[Tensor]]:
    scales = [(torch.hann_window(size), mel_filterbank(sample_rate, size, bins)) for size, bins in _TWO_SCALES.items()]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window, filterbank in scales:
            mel = filterbank @ amplitude(audio, window, len(window) // 4)
            yield 2 * mel.clamp_min(_FLOOR).log10()
            yield mel

    return features


def _nemo(sample_rate: int) -> Callable[[Tensor], Iterable[Tensor]]:
    scales = [
        (torch.hann_window(size, periodic=False), mel_filterbank(sample_rate, size, bins, unit_area=False))
        for size, bins in _SEVEN_SCALES.items()
    ]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window, filterbank in scales:
            hop_length = len(window) // 4
            power = amplitude(audio, window, hop_length, pad_mode="constant").square()
            mel = filterbank @ (power + _NEMO_GUARD).sqrt()
            # the last frame is centred where the audio ends: NeMo masks it, and averages over the others
            yield mel[:, : len(audio) // hop_length].log1p() / len(scales)

    return features


_DEFINITIONS: Mapping[str, Callable[[int], Callable[[Tensor], Iterable[Tensor]]]] = {
    **{f"mel_dac_train{suffix}": _dac_train for suffix in RATES},
    **{f"mel_dac_eval{suffix}": _dac_eval for suffix in RATES},
    "mel_nemo": _nemo,
}
