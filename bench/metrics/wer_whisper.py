"""Error rates through Whisper, by transformers."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench import torchaudio_guard
from bench.checkpoint import sha256
from bench.language import language_tag
from bench.metric import Audio, MetricEntry, loader
from bench.metrics._checks import check_options, load_pretrained, pretrained, split_revision, weight_files
from bench.metrics._citations import cite
from bench.metrics._error_rate import columns, scoring_packages, shared
from bench.metrics._transcripts import SAMPLE_RATE
from bench.needs import Need, package

if TYPE_CHECKING:
    import torch

_LARGE = "openai/whisper-large-v3@06f233fe06e710322aca913c1bc4249a0d71fce1"
_WINDOW_S = 30

METRICS: Mapping[str, MetricEntry] = columns(
    "whisper",
    source="Whisper through transformers, greedy; large-v3 unless `checkpoint` names another hub id (id@revision) or folder",
    licence="Apache-2.0 (transformers and the default model)",
    citation=cite("radford2023whisper"),
    languages=None,
    accelerated=True,
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint", "normaliser"])
    return [
        package("transformers", "transformers>=5", "Apache-2.0"),
        pretrained("wer_whisper", options.get("checkpoint", _LARGE)),
        *scoring_packages(),
    ]


load = loader(METRICS, lambda device, options: shared(Whisper(options.get("checkpoint", _LARGE), device), options))


class Whisper:
    languages: tuple[str, ...] | None

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        torchaudio_guard.install()
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        repo, revision = split_revision(checkpoint)
        self._model = load_pretrained(WhisperForConditionalGeneration, checkpoint).float().to(device)
        self._processor = WhisperProcessor.from_pretrained(repo, revision=revision)
        self._device = device
        self._codes = _codes(self._model.generation_config)
        self.languages = tuple(self._codes)
        weights = weight_files(checkpoint)
        settings = sorted(weights[0].parent.glob("*.json"))  # configuration, generation and vocabulary
        self._sha256 = hashlib.sha256("".join(map(sha256, (*weights, *settings))).encode()).hexdigest()

    def identity(self, language: str) -> str:
        return f"whisper-transformers-{importlib.metadata.version('transformers')}-{self._sha256[:16]}"

    def transcribe(self, signals: Sequence[Audio], language: str) -> list[str]:
        # beyond its window Whisper slides along by the time stamps that it predicts, which are each signal's own
        if len(signals[0]) > _WINDOW_S * SAMPLE_RATE:
            return [text for audio in signals for text in self._hear([audio], language, long=True)]
        return self._hear(signals, language, long=False)

    def _hear(self, signals: Sequence[Audio], language: str, long: bool) -> list[str]:
        import torch

        inputs = self._processor(
            list(signals),
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=not long,
            padding="longest" if long else "max_length",
        ).to(self._device)
        asked = {"language": self._codes.get(language), "task": "transcribe"} if self._model.generation_config.is_multilingual else {}
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, **asked, do_sample=False, num_beams=1, return_timestamps=long)
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]


def _codes(config: Any) -> dict[str, str]:
    """Tag of language_tag() -> Whisper's own code (fil: tl, jv: jw; nb: no), of the languages that a model knows."""
    if not getattr(config, "is_multilingual", False):
        return {"en": "en"}
    codes = {language_tag(token.strip("<|>")): token.strip("<|>") for token in config.lang_to_id}
    return {**codes, "nb": codes["no"]} if "no" in codes else codes
