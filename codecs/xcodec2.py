"""X-Codec 2 (Ye et al., 2025): 16 kHz, 50 frames/s of one token of 65,536, from speech and its w2v-BERT features."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import torch

from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, load_model, transformers_class
from bench.codecs.bases.semantic import FilterBankCodec
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="X-Codec 2",
    licence="CC-BY-NC-4.0",
    citation="@article{ye2025llasa, author={Ye, Zhen and others}, title={Llasa: Scaling Train-Time and Inference-Time Compute for "
    "{Llama}-based Speech Synthesis}, journal={arXiv:2502.04128}, year={2025}}",
    url="https://huggingface.co/HKUSTAudio/xcodec2-hf",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {"0.8kbps": OperatingPoint("0.8kbps", 50.0, 1)}
WEIGHTS = Published("HKUSTAudio/xcodec2-hf", "64bd034d12d441299cdd535b15c33efd6ccdf252", TRANSFORMERS_FILES, 2517, "CC-BY-NC-4.0")


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    has_torchaudio = importlib.util.find_spec("torchaudio") is not None
    return [Need("package", "torchaudio", has_torchaudio, "pip install torchaudio"), WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "xcodec2")
    model = load_model("Xcodec2Model", folder, {"sampling_rate": 16000})
    extractor = transformers_class("Xcodec2FeatureExtractor")(hop_length=model.config.hop_length)
    return FilterBankCodec(model, folder / "model.safetensors", device, extractor, heard_at=16000, sample_rate=16000)
