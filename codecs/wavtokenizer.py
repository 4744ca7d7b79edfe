"""WavTokenizer (Ji et al., 2024): 24 kHz, one codebook of 4096, 40 frames/s (or 75, by the checkpoint)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint
from bench.codecs.bases.points import pick
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, FullDepth, ResidualCodec, load_model, transformers_need
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="WavTokenizer",
    licence="MIT",
    citation="@article{ji2024wavtokenizer, author={Ji, Shengpeng and others}, title={{WavTokenizer}: an Efficient Acoustic Discrete "
    "Codec Tokenizer for Audio Language Modeling}, journal={arXiv:2408.16532}, year={2024}}",
    url="https://github.com/jishengpeng/WavTokenizer",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {
    "0.48kbps": OperatingPoint("0.48kbps", 24000 / 600, 1),
    "0.9kbps": OperatingPoint("0.9kbps", 24000 / 320, 1),  # of the checkpoints of 75 tokens a second
}
# No commit of the hub is known to us: the file's sha256 stands in every result.
WEIGHTS = Published("swiss-ai/wavtokenizer-large-unify-40token", "main", TRANSFORMERS_FILES, 289, "MIT")


class WavTokenizer(ResidualCodec):
    def tokens_of(self, audio: Tensor) -> Tensor:
        return self.model.encode(audio).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens).audio_values

    def encode(self, latent: FullDepth, point: OperatingPoint) -> Encoded:
        own_rate = self.sample_rate / self.hop_length
        if not math.isclose(point.frame_rate, own_rate):
            raise ValueError(f"this checkpoint has {own_rate:g} frames/s, not {point.frame_rate:g}: each rate is a checkpoint of its own")
        return super().encode(latent, point)


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [transformers_need(5, 24), WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "wavtokenizer")
    model = load_model("WavTokenizerModel", folder, {"sampling_rate": 24000})
    return WavTokenizer(model, folder / "model.safetensors", device, model.config.hop_length, model.config.codebook_size, num_codebooks=1)
