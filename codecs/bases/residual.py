"""Codecs with residual quantisers, through their classes in transformers: encoded once at full depth, cut to each point's codebooks."""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint, torchaudio_guard
from bench.codec import Encoded, OperatingPoint, Stream
from bench.codecs.bases.received import check_length, only_stream
from bench.errors import UserError
from bench.needs import Need

TRANSFORMERS_FILES = ("config.json", "model.safetensors")


def transformers_need(major: int, minor: int) -> Need:
    """The first version of transformers that has a model's class."""
    found = importlib.metadata.version("transformers")
    available = tuple(map(int, found.split(".")[:2])) >= (major, minor)
    return Need("package", f"transformers {major}.{minor}", available, f"pip install 'transformers>={major}.{minor}'")


@dataclass(frozen=True)
class FullDepth:
    """Tokens of all codebooks, int64 [N_q, F], of an input of `num_samples`."""

    tokens: Tensor
    num_samples: int


class ResidualCodec(ABC):
    """A model whose codebooks refine each other: the tokens of n_q codebooks are the first n_q rows of the tokens of all.

    sample_rate   Hz; None where the configuration says it as `sampling_rate`
    """

    def __init__(
        self,
        model: Any,
        weights: Path,
        device: torch.device,
        hop_length: int,
        codebook_size: int,
        num_codebooks: int,
        sample_rate: int | None = None,
    ) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.sample_rate = int(sample_rate or model.config.sampling_rate)
        self.hop_length, self.codebook_size, self.num_codebooks = hop_length, codebook_size, num_codebooks
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = checkpoint.sha256_of(checkpoint.weight_files(weights.parent, weights.name))

    @abstractmethod
    def tokens_of(self, audio: Tensor) -> Tensor:
        """[1, N_q, F] of `audio` float32 [1, 1, T], with all codebooks."""

    @abstractmethod
    def audio_of(self, tokens: Tensor) -> Tensor:
        """float32 [..., T'] of `tokens` int64 [1, n_q, F]."""

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> FullDepth:
        return FullDepth(self.tokens_of(audio.to(self.device)[None, None])[0].cpu().to(torch.int64), len(audio))

    def encode(self, latent: FullDepth, point: OperatingPoint) -> Encoded:
        if point.n_q > len(latent.tokens):
            raise ValueError(f"point {point.name} asks for {point.n_q} codebooks, the model has {len(latent.tokens)}")
        tokens = latent.tokens[: point.n_q]
        return Encoded((Stream(tokens, (self.codebook_size,) * point.n_q),), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        stream = only_stream(encoded, (self.codebook_size,) * self.num_codebooks)
        check_length(stream.num_frames, encoded.num_samples, self.hop_length, fewer=1, more=1)  # models pad in their own ways
        audio = self.audio_of(stream.tokens.to(self.device)[None]).flatten().cpu()
        return F.pad(audio, (0, encoded.num_samples - len(audio)))  # cuts where the pad is negative


def transformers_class(name: str) -> Any:
    """A class of transformers, which imports a torchaudio wherever there is one."""
    torchaudio_guard.install()
    import transformers

    return getattr(transformers, name)


def load_model(name: str, folder: Path, expected: dict[str, Any]) -> Any:
    """A model of transformers' class `name` from `folder` in float32, strictly: no tensor missing, unknown or of another shape.

    expected   values that the configuration must have, by name
    """
    model_class = transformers_class(name)
    path = checkpoint.weight_files(folder, "model.safetensors")[0]
    try:
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder / 'config.json'}: not a configuration: {checkpoint.first_line(error)}") from None
    for field, value in expected.items():
        if getattr(config, field) != value:
            raise UserError(f"{folder / 'config.json'}: {field} is {getattr(config, field)}, this codec takes {value}")
    # transformers renames tensors of older files as it loads, so it does the loading; what it would only warn of is refused
    tensors = checkpoint.load_weights(path)
    with _quiet():
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    wrong = {"missing": report["missing_keys"], "unknown": report["unexpected_keys"], "of another shape": report["mismatched_keys"]}
    if told := [f"{len(keys)} tensors {what} (first: {min(map(str, keys))})" for what, keys in wrong.items() if keys]:
        raise UserError(f"{path}: does not fit {name}: {', '.join(told)}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no table of mismatches from transformers."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
