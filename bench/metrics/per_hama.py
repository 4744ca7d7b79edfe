"""Phone error rate by hama, whose recogniser of phones is in its package: against the phones that it hears in the reference audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.dataset import Utterance
from bench.language import language_tag
from bench.metric import Audio, MetricEntry, MetricFailure, NotApplicable, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.metrics._error_rate import scoring_packages
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_SAMPLE_RATE = 16000

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: PhoneErrorRate(),
    MetricInfo(
        name="per_hama",
        unit="%",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=False,
        definition="Phone errors against the recogniser's own phones of the reference audio, summed over the corpus; needs no transcript.",
        source="hama 1.7, model in the package",
        licence="Apache-2.0 (hama and its model)",
        citation=cite("park2026hama"),
        languages=("en",),
        corpus_ratio=True,
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("hama", "speech-codec-bench[phones]", "Apache-2.0"), *scoring_packages()]


load = loader(METRICS)


class PhoneErrorRate:
    names = ("per_hama",)
    sample_rate = _SAMPLE_RATE

    def __init__(self) -> None:
        from hama import ASRModel

        self._model = ASRModel()

    def prepare(self, reference: Utterance, audio: Audio) -> str:
        if (language := language_tag(reference.language)) != "en":
            raise NotApplicable(f"the recogniser knows en, not {language or 'a language that nobody states'}")
        check_signal(audio, "the reference")
        phones = self._hear(audio)
        if not phones:
            raise MetricFailure("no phone is heard in the reference")
        return phones

    def score(self, prepared: str, degraded: Audio) -> Mapping[str, Score]:
        import jiwer

        check_signal(degraded, "the degraded signal")
        heard = self._hear(degraded)
        counts = jiwer.process_words(prepared, heard)
        wrong = counts.substitutions + counts.deletions
        errors, length = float(wrong + counts.insertions), float(counts.hits + wrong)
        return {"per_hama": Score(100 * errors / length, {"errors": errors, "words": length, "reference": prepared, "hypothesis": heard})}

    def _hear(self, audio: Audio) -> str:
        """Phones in the IPA, between spaces."""
        return self._model.transcribe_waveform(np.clip(audio, -1.0, 1.0), _SAMPLE_RATE).phoneme_text
