"""The tokenizer of Higgs Audio v2 (Boson AI, 2025): 24 kHz, 25 frames/s, 1 to 8 codebooks of 1024, X-Codec's plan at half its rate."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench import needs as kinds
from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, load_model, transformers_need
from bench.codecs.bases.semantic import SemanticCodec
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="Higgs Audio v2",
    licence="Boson Higgs Audio 2 Community License",
    citation="@misc{bosonai2025higgs, author={{Boson AI}}, title={{Higgs Audio} v2}, year={2025}}",
    url="https://huggingface.co/bosonai/higgs-audio-v2-tokenizer",
)
VERSION = 1
FRAME_RATE = 25.0  # Hz
MAX_N_Q = 8
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 4, 8)
# No commit of the hub is known to us: the file's sha256 stands in every result.
WEIGHTS = Published("bosonai/higgs-audio-v2-tokenizer", "main", TRANSFORMERS_FILES, 805, "Boson Higgs Audio 2 Community License")


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [transformers_need(5, 3), kinds.package("torchaudio", "torchaudio"), WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "higgs_v2")
    model = load_model("HiggsAudioV2TokenizerModel", folder, {"sample_rate": 24000, "frame_rate": FRAME_RATE})
    config = model.config
    return SemanticCodec(model, folder / "model.safetensors", device, config.hop_length, config.codebook_size, config.num_quantizers, 24000)
