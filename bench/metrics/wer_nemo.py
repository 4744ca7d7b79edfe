"""Error rates through NeMo's recognisers: the papers' English FastConformer, or any .nemo file for each language."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench import torchaudio_guard
from bench.checkpoint import resolve, sha256
from bench.errors import UserError
from bench.language import language_tag
from bench.metric import Audio, MetricEntry, loader
from bench.metrics._citations import cite
from bench.metrics._error_rate import columns, scoring_packages, shared
from bench.needs import Need, package, weights

if TYPE_CHECKING:
    import torch

_ENGLISH = "hf:nvidia/stt_en_fastconformer_transducer_large/stt_en_fastconformer_transducer_large.nemo@main"

METRICS: Mapping[str, MetricEntry] = columns(
    "nemo",
    source="NeMo; stt_en_fastconformer_transducer_large unless `checkpoint` names another; `checkpoint_de` and so on for others",
    licence="Apache-2.0 (NeMo); CC BY 4.0 (the default model)",
    citation=cite("rekesh2023fastconformer"),
    languages=None,
    accelerated=True,
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    checkpoints = dict.fromkeys(_checkpoints(options).values())
    return [
        package("nemo", "speech-codec-bench[nemo]", "Apache-2.0"),
        *(weights("wer_nemo", checkpoint, licence="see its card") for checkpoint in checkpoints),
        *scoring_packages(),
    ]


load = loader(METRICS, lambda device, options: shared(Nemo(_checkpoints(options), device), options))


def _checkpoints(options: Mapping[str, str]) -> dict[str, str]:
    """Language -> checkpoint. `checkpoint` is the English one; it has a default only where no other language is named."""
    checkpoints = {}
    for option, value in options.items():
        if option == "checkpoint":
            checkpoints["en"] = value
        elif option.startswith("checkpoint_"):
            try:
                checkpoints[language_tag(option.removeprefix("checkpoint_"))] = value
            except ValueError as error:
                raise UserError(f"metric option '{option}': {error}") from None
        elif option != "normaliser":
            raise UserError(f"metric option '{option}' unknown; known: checkpoint, checkpoint_LANGUAGE, normaliser")
    return checkpoints or {"en": _ENGLISH}


class Nemo:
    """One model per language; each is loaded when its language first comes up."""

    def __init__(self, checkpoints: Mapping[str, str], device: torch.device) -> None:
        self.languages: tuple[str, ...] | None = tuple(checkpoints)
        self._paths = {language: resolve(checkpoint, "wer_nemo") for language, checkpoint in checkpoints.items()}
        self._device = device
        self._model = lru_cache(maxsize=None)(self._load)

    def identity(self, language: str) -> str:
        return f"nemo-{importlib.metadata.version('nemo_toolkit')}-{sha256(self._paths[language])[:16]}"

    def transcribe(self, signals: Sequence[Audio], language: str) -> list[str]:
        model = self._model(self._paths[language])
        hypotheses = model.transcribe(list(signals), batch_size=len(signals), num_workers=0, verbose=False)
        return [hypothesis.text for hypothesis in hypotheses]

    def _load(self, path: Any) -> Any:
        torchaudio_guard.install()
        from nemo.collections.asr.models import ASRModel
        from nemo.utils import logging

        logging.setLevel(logging.ERROR)
        return ASRModel.restore_from(str(path), map_location=self._device).eval()
