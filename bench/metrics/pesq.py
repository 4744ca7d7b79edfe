"""PESQ through the ITU's C code: wide band at 16 kHz, narrow band at 8 kHz, and narrow band fed with 16 kHz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need, package
from bench.record import MetricInfo, Score

METRICS: Mapping[str, MetricEntry] = {
    **entries(
        lambda names, device, options: Pesq(names, 16000, "wb"),
        MetricInfo(
            name="pesq_wb",
            unit="MOS",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="MOS-LQO of ITU-T P.862.2, wide band at 16 kHz; 4.64 for identical signals.",
            source="ITU-T P.862.2; pesq 0.0.4, mode wb",
            licence="MIT (pesq); ITU-T reference code",
            citation=cite("rix2001pesq"),
        ),
    ),
    **entries(
        lambda names, device, options: Pesq(names, 8000, "nb"),
        MetricInfo(
            name="pesq_nb",
            unit="MOS",
            version=1,
            sample_rate=8000,
            higher_is_better=True,
            definition="MOS-LQO of ITU-T P.862.1, narrow band at 8 kHz; 4.55 for identical signals.",
            source="ITU-T P.862.1; pesq 0.0.4, mode nb",
            licence="MIT (pesq); ITU-T reference code",
            citation=cite("rix2001pesq"),
        ),
    ),
    **entries(
        lambda names, device, options: Pesq(names, 16000, "nb"),
        MetricInfo(
            name="pesq_nb16",
            unit="MOS",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            definition="The narrow-band mode fed with 16 kHz: what FlexiCodec's paper appears to print; not pesq_nb.",
            source="pesq 0.0.4, mode nb at 16 kHz",
            licence="MIT (pesq); ITU-T reference code",
            citation=cite("rix2001pesq"),
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("pesq", "pesq>=0.0.4", "MIT")]


load = loader(METRICS)


class Pesq:
    def __init__(self, names: tuple[str, ...], sample_rate: int, mode: str) -> None:
        import pesq

        self.names = names
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
