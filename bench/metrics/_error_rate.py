"""Word and character error rates of whatever a recogniser hears; each recogniser has a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.dataset import Utterance
from bench.language import language_tag, unspaced
from bench.metric import Audio, MetricEntry, NotApplicable, entries
from bench.metrics._text import STANDARD, STANDARD_IS, normaliser, spelling
from bench.metrics._transcripts import SAMPLE_RATE, Recogniser, Transcripts
from bench.needs import Need, package
from bench.record import MetricInfo, Score

_COLUMNS_VERSION = 2  # raised when the same texts give another rate; 2: one spelling of what looks or sounds alike, combining marks kept
_WORD = "word (character, where a language is written without spaces: Chinese, Japanese, Thai, Lao, Burmese, Khmer)"
_LISTED = 8  # languages of a recogniser, in a message


def columns(
    recogniser: str, source: str, licence: str, citation: str, languages: tuple[str, ...] | None, accelerated: bool
) -> dict[str, MetricEntry]:
    """WER, CER and dWER of one recogniser; their factories take what `shared` gives."""

    def facts(measure: str, definition: str) -> MetricInfo:
        return MetricInfo(
            name=f"{measure}_{recogniser}",
            unit="%",
            version=_COLUMNS_VERSION,
            sample_rate=SAMPLE_RATE,
            higher_is_better=False,
            definition=f"{definition}, summed over the corpus. Text normaliser unless another is named: {STANDARD_IS}.",
            source=source,
            licence=licence,
            citation=citation,
            languages=languages,
            corpus_ratio=True,
            accelerated=accelerated,
            needs_text=measure != "dwer",
        )

    wer = facts("wer", f"Errors by the {_WORD}, over those of the transcript")
    cer = facts("cer", "Errors by the character, over those of the transcript, spaces between words included")
    dwer = facts("dwer", f"Errors by the {_WORD}, against the recogniser's own text of the reference audio")
    return {
        **entries(partial(ErrorRate, {wer.name: _word_edits, cer.name: _character_edits}), wer, cer),
        **entries(partial(DifferentialErrorRate, {dwer.name: _word_edits}), dwer),
    }


def scoring_packages() -> list[Need]:
    return [package("jiwer", "jiwer>=4", "Apache-2.0"), package("whisper_normalizer", "whisper_normalizer>=0.1", "MIT")]


def shared(recogniser: Recogniser, options: Mapping[str, str]) -> tuple[Transcripts, str]:
    """What all columns of a recogniser have in common: its transcripts, and the name of the text normaliser."""
    return Transcripts(recogniser), options.get("normaliser", STANDARD)


@dataclass(frozen=True)
class _Reference:
    language: str
    text: str  # normalised


_Edits = Callable[[_Reference, str], tuple[float, float]]  # reference, normalised hypothesis -> errors, length of the reference


class ErrorRate:
    """What stands in the transcript against what the recogniser hears; `edits` of each column counts words or characters.

    It does not apply where no language is stated: the recogniser, the normaliser and what a word is depend on it.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, edits: Mapping[str, _Edits], names: tuple[str, ...], transcripts: Transcripts, normalisation: str) -> None:
        self.names = names
        self._edits = edits
        self._transcripts = transcripts
        self._normalisation = normalisation

    def prepare(self, reference: Utterance, audio: Audio) -> _Reference:
        language, known = language_tag(reference.language), self._transcripts.languages
        if not language:
            raise NotApplicable("no language is stated, and what a word is depends on it; give the data set a `language`")
        if known is not None and language not in known:
            knows = f"knows {', '.join(known)}, not {language}" if len(known) <= _LISTED else f"does not know {language}"
            raise NotApplicable(f"the recogniser {knows}")
        text = normaliser(self._normalisation, language)(self._text(reference, audio, language))
        if not any(character.isalnum() for character in text):
            raise NotApplicable("there are no words to compare with")
        return _Reference(language, text)

    def score(self, prepared: _Reference, degraded: Audio) -> Mapping[str, Score]:
        (scores,) = self.score_batch(prepared, [degraded])
        return scores

    def score_batch(self, prepared: _Reference, degraded: Sequence[Audio]) -> list[Mapping[str, Score]]:
        normalise = normaliser(self._normalisation, prepared.language)
        texts = self._transcripts.of(degraded, prepared.language)
        return [{name: self._score(name, prepared, normalise(heard), heard) for name in self.names} for heard in texts]

    def _score(self, name: str, reference: _Reference, hypothesis: str, heard: str) -> Score:
        errors, length = self._edits[name](reference, hypothesis)
        # the text as it was heard: it can be normalised otherwise later
        return Score(100 * errors / length, {"errors": errors, "words": length, "reference": reference.text, "hypothesis": heard})

    def _text(self, reference: Utterance, audio: Audio, language: str) -> str:
        if reference.text is None:
            raise NotApplicable("no transcript")
        return reference.text


class DifferentialErrorRate(ErrorRate):
    """Against the recogniser's text of the reference audio: needs no transcript, and forgives what the recogniser always gets wrong."""

    def _text(self, reference: Utterance, audio: Audio, language: str) -> str:
        return self._transcripts.of_reference(audio, language)


def _word_edits(reference: _Reference, hypothesis: str) -> tuple[float, float]:
    if unspaced(reference.language):
        return _character_edits(reference, hypothesis)
    import jiwer

    return _counted(jiwer.process_words(reference.text, hypothesis))


def _character_edits(reference: _Reference, hypothesis: str) -> tuple[float, float]:
    import jiwer

    return _counted(jiwer.process_characters(spelling(reference.text, reference.language), spelling(hypothesis, reference.language)))


def _counted(alignment: Any) -> tuple[float, float]:
    """Errors, and the length of the reference."""
    wrong = alignment.substitutions + alignment.deletions
    return float(wrong + alignment.insertions), float(alignment.hits + wrong)
