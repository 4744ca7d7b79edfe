"""Error rates through Whisper, by transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from bench import torchaudio_guard
from bench.codec import Need
from bench.metric import Audio, Metric, MetricInfo
from bench.metrics._checks import check_options, load_pretrained, package, pretrained, split_revision
from bench.metrics._error_rate import SAMPLE_RATE, columns, error_rates, scoring_packages

_LARGE = "openai/whisper-large-v3@06f233fe06e710322aca913c1bc4249a0d71fce1"
_WINDOW_S = 30

METRICS: Mapping[str, MetricInfo] = columns(
    "whisper",
    source="Whisper through transformers, greedy; large-v3 unless `checkpoint` names another hub id (id@revision) or folder",
    licence="Apache-2.0 (transformers and the default model)",
    citation="""@inproceedings{radford2023whisper,
  title     = {Robust Speech Recognition via Large-Scale Weak Supervision},
  author    = {Radford, Alec and Kim, Jong Wook and Xu, Tao and Brockman, Greg and McLeavey, Christine and Sutskever, Ilya},
  booktitle = {ICML},
  year      = {2023},
}""",
    languages=None,
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint", "normaliser"])
    return [
        package("transformers", "transformers>=5", "Apache-2.0"),
        pretrained("wer_whisper", options.get("checkpoint", _LARGE)),
        *scoring_packages(),
    ]


def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
    return error_rates(names, Whisper(options.get("checkpoint", _LARGE), device), options.get("normaliser", "whisper"))


class Whisper:
    languages: tuple[str, ...] | None = None

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        torchaudio_guard.install()
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        repo, revision = split_revision(checkpoint)
        self._model = load_pretrained(WhisperForConditionalGeneration, checkpoint).float().to(device)
        self._processor = WhisperProcessor.from_pretrained(repo, revision=revision)
        self._device = device

    @torch.inference_mode()
    def transcribe(self, audio: Audio, language: str) -> str:
        # beyond its window Whisper slides along by the time stamps that it predicts
        long = len(audio) > _WINDOW_S * SAMPLE_RATE
        inputs = self._processor(
            audio,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=not long,
            padding="longest" if long else "max_length",
        ).to(self._device)
        asked = {"language": language or None, "task": "transcribe"} if self._model.generation_config.is_multilingual else {}
        tokens = self._model.generate(**inputs, **asked, do_sample=False, num_beams=1, return_timestamps=long)
        return self._processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
