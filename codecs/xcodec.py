"""X-Codec (Ye et al., 2024): 16 kHz, 50 frames/s, 1 to 8 codebooks of 1024, from speech and its HuBERT features.

The default checkpoint is the one for any audio; the one for speech is {checkpoint: "hf:hf-audio/xcodec-hubert-librispeech@main"}.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, load_model
from bench.codecs.bases.semantic import SemanticCodec
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="X-Codec",
    licence="MIT",
    citation="@article{ye2024xcodec, author={Ye, Zhen and others}, title={Codec Does Matter: Exploring the Semantic Shortcoming of Codec "
    "for Audio Language Model}, journal={arXiv:2408.17175}, year={2024}}",
    url="https://github.com/zhenye234/xcodec",
)
VERSION = 1
FRAME_RATE = 50.0  # Hz
MAX_N_Q = 8
POINTS: Mapping[str, OperatingPoint] = residual_points(FRAME_RATE, 1, 2, 3, 4, 8)
WEIGHTS = Published("hf-audio/xcodec-hubert-general", "240735a1ade315cb9b22604fe898e7df03d67378", TRANSFORMERS_FILES, 643, "MIT")


def point(**settings: float | str) -> OperatingPoint:
    return pick(residual_points(FRAME_RATE, *range(1, MAX_N_Q + 1)), settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "xcodec")
    model = load_model("XcodecModel", folder, {"sample_rate": 16000, "frame_rate": FRAME_RATE})
    config = model.config
    return SemanticCodec(model, folder / "model.safetensors", device, config.hop_length, config.codebook_size, config.num_quantizers, 16000)
