"""Mimi (Défossez et al., 2024): causal, 12.5 frames/s, one codebook taught by WavLM and up to 31 acoustic ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, ResidualCodec, load_model
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="Mimi",
    licence="CC-BY-4.0",
    citation="@article{defossez2024moshi, author={Défossez, Alexandre and Mazaré, Laurent and Orsini, Manu and Royer, Amélie "
    "and Pérez, Patrick and Jégou, Hervé and Grave, Edouard and Zeghidour, Neil}, "
    "title={Moshi: a speech-text foundation model for real-time dialogue}, journal={arXiv:2410.00037}, year={2024}}",
    url="https://huggingface.co/kyutai/mimi",
)
VERSION = 1
FRAME_RATE = 12.5  # Hz
MAX_N_Q = 32
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 4, 8, 16, 32)
WEIGHTS = Published("kyutai/mimi", "89091b3e466eb6a9d11e537bf26b144f194978f7", TRANSFORMERS_FILES, 385, "CC-BY-4.0")


class Mimi(ResidualCodec):
    def tokens_of(self, audio: Tensor) -> Tensor:
        return self.model.encode(audio, num_quantizers=self.model.config.num_quantizers).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens).audio_values


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "mimi")
    model = load_model("MimiModel", folder, {"sampling_rate": 24000, "frame_rate": 12.5})
    return Mimi(model, folder / "model.safetensors", device, round(24000 / 12.5), model.config.codebook_size, model.config.num_quantizers)
