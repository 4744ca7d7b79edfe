"""PESQ through the ITU's C code: wide band at 16 kHz, narrow band at 8 kHz, and narrow band fed with 16 kHz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from bench.dataset import Utterance
from bench.metric import Audio, Metric, MetricFailure
from bench.metrics._checks import check_options, check_signal
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_CITATION = """@inproceedings{rix2001pesq,
  title     = {Perceptual Evaluation of Speech Quality ({PESQ}): a New Method for Speech Quality Assessment of Telephone Networks
               and Codecs},
  author    = {Rix, Antony W. and Beerends, John G. and Hollier, Michael P. and Hekstra, Andries P.},
  booktitle = {ICASSP},
  year      = {2001},
}"""

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            name="pesq_wb",
            unit="MOS",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="MOS-LQO of ITU-T P.862.2, wide band at 16 kHz; 4.64 for identical signals.",
            source="ITU-T P.862.2; pesq 0.0.4, mode wb",
            licence="MIT (pesq); ITU-T reference code",
            citation=_CITATION,
        ),
        MetricInfo(
            name="pesq_nb",
            unit="MOS",
            version=1,
            sample_rate=8000,
            higher_is_better=True,
            definition="MOS-LQO of ITU-T P.862.1, narrow band at 8 kHz; 4.55 for identical signals.",
            source="ITU-T P.862.1; pesq 0.0.4, mode nb",
            licence="MIT (pesq); ITU-T reference code",
            citation=_CITATION,
        ),
        MetricInfo(
            name="pesq_nb16",
            unit="MOS",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="The narrow-band mode fed with 16 kHz: what FlexiCodec's paper appears to print; not pesq_nb.",
            source="pesq 0.0.4, mode nb at 16 kHz",
            licence="MIT (pesq); ITU-T reference code",
            citation=_CITATION,
        ),
    )
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("pesq", "pesq>=0.0.4", "MIT")]


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    return [Pesq(name, METRICS[name].sample_rate, "wb" if name == "pesq_wb" else "nb") for name in names]


class Pesq:
    def __init__(self, name: str, sample_rate: int, mode: str) -> None:
        import pesq

        self.names = (name,)
        self.sample_rate = sample_rate
        self._pesq = pesq
        self._mode = mode

    def prepare(self, reference: Utterance, audio: Audio) -> Audio:
        check_signal(audio, "the reference")
        return audio

    def score(self, prepared: Audio, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal")
        try:
            value = self._pesq.pesq(self.sample_rate, prepared, degraded, self._mode)
        except self._pesq.NoUtterancesError:
            raise MetricFailure("no speech found") from None
        except self._pesq.BufferTooShortError:
            raise MetricFailure("shorter than 0.25 s") from None
        return {self.names[0]: Score(float(value))}
