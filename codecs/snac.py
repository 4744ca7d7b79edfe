"""SNAC at 24 kHz (Siuzdak et al., 2024): three codebooks at three rates, 11.7, 23.4 and 46.9 frames/s."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint as files
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.codecs.bases.received import check_codebooks, check_length
from bench.codecs.bases.repository import Published
from bench.errors import UserError
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="SNAC 24 kHz",
    licence="MIT",
    citation="@article{siuzdak2024snac, author={Siuzdak, Hubert and Grötschla, Florian and Lanzendörfer, Luca A.}, "
    "title={{SNAC}: Multi-Scale Neural Audio Codec}, journal={arXiv:2410.14411}, year={2024}}",
    url="https://github.com/hubertsiuzdak/snac",
)
VERSION = 1
_FINEST = 24000 / 512  # Hz, frames of the last codebook; the two before it have a half and a quarter
POINTS: Mapping[str, OperatingPoint] = {"0.98kbps": OperatingPoint("0.98kbps", _FINEST * (1 + 1 / 2 + 1 / 4), 3)}
WEIGHTS = Published("hubertsiuzdak/snac_24khz", "d73ad176a12188fcf4f360ba3bf2c2fbbe8f58ec", ("config.json", "pytorch_model.bin"), 79, "MIT")


class SNAC:
    def __init__(self, model: Any, weights: Path, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.sample_rate, self.hop_length = int(model.sampling_rate), int(model.hop_length)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = files.sha256(weights)

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> tuple[list[Tensor], int]:
        return [tokens.cpu() for tokens in self.model.encode(audio.to(self.device)[None, None])], len(audio)

    def encode(self, latent: tuple[list[Tensor], int], point: OperatingPoint) -> Encoded:
        codebooks, num_samples = latent
        return Encoded(tuple(Stream(tokens, (self.model.codebook_size,)) for tokens in codebooks), num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        strides, coarsest = self.model.vq_strides, math.lcm(self.model.vq_strides[0], self.model.attn_window_size or 1)
        if len(encoded.streams) != len(strides) or encoded.packets:
            raise ValueError(f"the stream is not this codec's: {len(encoded.streams)} streams, not {len(strides)}")
        for stream, stride in zip(encoded.streams, strides, strict=True):
            check_codebooks(stream, (self.model.codebook_size,))
            padded = -(-encoded.num_samples // (self.hop_length * coarsest)) * self.hop_length * coarsest
            check_length(stream.num_frames, padded, self.hop_length * stride)
        # the decoder adds noise of its own: seeded here, so that the same tokens always sound the same
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            audio = self.model.decode([stream.tokens.to(self.device) for stream in encoded.streams]).flatten().cpu()
        return F.pad(audio, (0, encoded.num_samples - len(audio)))  # cuts where the pad is negative


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    import snac

    folder = WEIGHTS.folder(checkpoint, "snac")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = snac.SNAC(**config)
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise UserError(f"{folder / 'config.json'}: not a configuration of SNAC: {error}") from None
    if (model.sampling_rate, model.vq_strides) != (24000, [4, 2, 1]):
        found = f"{model.sampling_rate} Hz, strides {model.vq_strides}"
        raise UserError(f"{folder / 'config.json'}: {found}; this codec has 24000 Hz, strides [4, 2, 1]")
    weights = folder / "pytorch_model.bin"
    files.load_strictly(model, files.load_torch(weights), weights)
    return SNAC(model, weights, device)
