"""Mel distances: DAC's training loss, its evaluation setting, and NeMo's (LFSC's model card); three scales of numbers, so three names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.mel import mel_filterbank
from bench.metric import MetricEntry, entries, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.metrics._spectrum import SpectralDistance, amplitude, at_every_rate
from bench.needs import Need
from bench.record import MetricInfo

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics._spectrum import Features

_SEVEN_SCALES = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # window in samples -> mel bins
_TWO_SCALES = {2048: 150, 512: 80}
_FLOOR = 1e-5
_NEMO_GUARD = 1e-5  # on the power of every bin, as NeMo has it where gradients flow

METRICS: Mapping[str, MetricEntry] = {
    **at_every_rate(
        lambda sample_rate: _dac_train(sample_rate),
        MetricInfo(
            name="mel_dac_train",
            unit="",
            version=1,
            sample_rate=16000,
            higher_is_better=False,
            definition="Sum over windows of 32 to 2048 samples (5 to 320 bins) of mean |log10 mel amplitude difference|, floor 1e-5.",
            source="descript-audio-codec conf/base.yml (the training loss); audiotools MelSpectrogramLoss",
            licence="Apache-2.0 (own implementation)",
            citation=cite("kumar2023dac"),
        ),
    ),
    **at_every_rate(
        lambda sample_rate: _dac_eval(sample_rate),
        MetricInfo(
            name="mel_dac_eval",
            unit="",
            version=1,
            sample_rate=16000,
            higher_is_better=False,
            definition="Sum over windows of 2048 and 512 samples (150 and 80 bins) of mean |log10 mel power difference|, floor 1e-5, "
            "and mean |mel amplitude difference|.",
            source="descript-audio-codec scripts/evaluate.py without a configuration; audiotools MelSpectrogramLoss defaults",
            licence="Apache-2.0 (own implementation)",
            citation=cite("kumar2023dac"),
        ),
    ),
    **entries(
        lambda names, device, options: SpectralDistance(names, 22050, _nemo(22050)),
        MetricInfo(
            name="mel_nemo",
            unit="",
            version=1,
            sample_rate=22050,
            higher_is_better=False,
            definition="Mean over windows of 32 to 2048 samples (5 to 320 mel bins of height 1) of mean |ln(1 + mel) difference|.",
            source="NeMo 3.0.0 MultiResolutionMelLoss, resolutions of audio_codec_low_frame_rate_22050.yaml",
            licence="Apache-2.0 (own implementation)",
            citation=cite("casanova2025lfsc"),
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


def _dac_train(sample_rate: int) -> Features:
    import torch

    scales = [(torch.hann_window(size), mel_filterbank(sample_rate, size, bins)) for size, bins in _SEVEN_SCALES.items()]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window, filterbank in scales:
            yield (filterbank @ amplitude(audio, window, len(window) // 4)).clamp_min(_FLOOR).log10()

    return features


def _dac_eval(sample_rate: int) -> Features:
    import torch

    scales = [(torch.hann_window(size), mel_filterbank(sample_rate, size, bins)) for size, bins in _TWO_SCALES.items()]

    def features(audio: Tensor) -> Iterable[Tensor]:
        for window, filterbank in scales:
            mel = filterbank @ amplitude(audio, window, len(window) // 4)
            yield 2 * mel.clamp_min(_FLOOR).log10()
            yield mel

    return features


def _nemo(sample_rate: int) -> Features:
    import torch

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
