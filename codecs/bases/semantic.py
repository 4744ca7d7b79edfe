"""Codecs that hear speech twice, as a waveform and by a speech model: what those of transformers share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.codecs.bases.residual import ResidualCodec


class SemanticCodec(ResidualCodec):
    """X-Codec (Ye et al., 2024) and its descendants: one residual quantiser over DAC's encoder and a speech model.

    The two agree on the number of frames where the signal is whole frames long, so it is padded to that.
    """

    def tokens_of(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio, (0, -audio.shape[-1] % self.hop_length))
        return self.model.encode(padded, bandwidth=max(self.model.config.target_bandwidths)).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens).audio_values


class FilterBankCodec(ResidualCodec):
    """X-Codec 2 (Ye et al., 2025) and its descendants: one FSQ codebook; the speech model hears what the extractor makes of the signal.

    extractor   of transformers: filter-bank features of the padded signal
    heard_at    Hz, at which the encoder hears
    """

    def __init__(self, model: Any, weights: Path, device: torch.device, extractor: Any, heard_at: int, sample_rate: int) -> None:
        size = math.prod(model.config.quantization_levels)
        super().__init__(model, weights, device, model.config.hop_length, size, num_codebooks=1, sample_rate=sample_rate)
        self.extractor, self.heard_at = extractor, heard_at

    def tokens_of(self, audio: Tensor) -> Tensor:
        inputs = self.extractor(audio[0, 0].cpu().numpy(), sampling_rate=self.heard_at, return_tensors="pt").to(self.device)
        return self.model.encode(**inputs).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens).audio_values
