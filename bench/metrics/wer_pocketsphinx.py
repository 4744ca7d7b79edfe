"""Error rates through pocketsphinx, whose English model is in its package: a coarse signal on read speech, not a ranking."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence

import numpy as np

from bench.metric import Audio, MetricEntry, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.metrics._error_rate import columns, scoring_packages, shared
from bench.metrics._transcripts import SAMPLE_RATE
from bench.needs import Need, package

METRICS: Mapping[str, MetricEntry] = columns(
    "pocketsphinx",
    source="pocketsphinx 5 with its US English model; maxhmmpf=3000, maxwpf=5, ds=2, dither",
    licence="BSD-2-Clause (pocketsphinx and its model)",
    citation=cite("huggins2006pocketsphinx"),
    languages=("en",),
    accelerated=False,
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["normaliser"])
    return [package("pocketsphinx", "pocketsphinx>=5.0.3", "BSD-2-Clause"), *scoring_packages()]


load = loader(METRICS, lambda device, options: shared(Pocketsphinx(), options))


class Pocketsphinx:
    languages: tuple[str, ...] | None = ("en",)

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        # The beams save nine tenths of the time and cost 5 to 8 points of WER on read speech. Without dither all Gaussians tie on digital
        # silence, and what came before decides.
        self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", maxhmmpf=3000, maxwpf=5, ds=2, dither=True, seed=1)

    def identity(self, language: str) -> str:
        return f"pocketsphinx-{importlib.metadata.version('pocketsphinx')}"

    def transcribe(self, signals: Sequence[Audio], language: str) -> list[str]:
        return [self._hear(audio) for audio in signals]

    def _hear(self, audio: Audio) -> str:
        # forgets the last utterance's cepstral mean and restarts the dither: what a fresh decoder gives, for a thousandth of its cost
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""
