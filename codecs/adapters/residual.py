"""Codecs with residual quantisers, through their classes in transformers: encoded once at full depth, cut to each point's codebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint
from bench.codec import Encoded, OperatingPoint, Stream
from bench.errors import UserError

TRANSFORMERS_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class FullDepth:
    """Tokens of all codebooks, int64 [N_q, F], of an input of `num_samples`."""

    tokens: Tensor
    num_samples: int


class ResidualCodec(ABC):
    """A model whose codebooks refine each other: the tokens of n_q codebooks are the first n_q rows of the tokens of all."""

    def __init__(self, model: Any, hop_length: int, weights: Path, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.sample_rate = int(model.config.sampling_rate)
        self.hop_length = hop_length
        self.codebook_size = int(model.config.codebook_size)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = checkpoint.sha256(weights)

    @abstractmethod
    def tokens_of(self, audio: Tensor) -> Tensor:
        """int64 [1, N_q, F] of `audio` float32 [1, 1, T], with all codebooks."""

    @abstractmethod
    def audio_of(self, tokens: Tensor) -> Tensor:
        """float32 [..., T'] of `tokens` int64 [1, n_q, F]."""

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> FullDepth:
        return FullDepth(self.tokens_of(audio.to(self.device)[None, None])[0].cpu(), len(audio))

    def encode(self, latent: FullDepth, point: OperatingPoint) -> Encoded:
        if point.n_q > len(latent.tokens):
            raise ValueError(f"point {point.name} asks for {point.n_q} codebooks, the model has {len(latent.tokens)}")
        tokens = latent.tokens[: point.n_q]
        return Encoded((Stream(tokens, (self.codebook_size,) * point.n_q),), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        (stream,) = encoded.streams
        audio = self.audio_of(stream.tokens.to(self.device)[None]).flatten().cpu()
        return F.pad(audio, (0, encoded.num_samples - len(audio)))  # cuts where the pad is negative


def load_model(model_class: Any, folder: Path, expected: dict[str, Any]) -> Any:
    """A transformers model from `folder`, strictly: no tensor missing, unknown or of another shape.

    expected   values that the configuration must have, by name
    """
    config = model_class.config_class.from_pretrained(folder, local_files_only=True)
    for name, value in expected.items():
        if getattr(config, name) != value:
            raise UserError(f"{folder / 'config.json'}: {name} is {getattr(config, name)}, this codec takes {value}")
    model = model_class(config)
    path = folder / "model.safetensors"
    tensors, _ = checkpoint.load_safetensors(path)
    checkpoint.load_strictly(model, {_current_name(name): tensor for name, tensor in tensors.items()}, path)
    return model


def _current_name(name: str) -> str:
    """The name that torch now gives the two parts of a weight-normalised weight, in files from before."""
    return name.replace(".weight_g", ".parametrizations.weight.original0").replace(".weight_v", ".parametrizations.weight.original1")
