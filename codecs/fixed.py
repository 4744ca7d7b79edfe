"""The fixed-rate baselines: the backbones that CodecSlime merges, its tiny one and the paper's, each trained alone at one rate.

The same network at every rate but for its strides, so that a fixed and a dynamic codec of one size, one training set and one number of
steps can be compared; the papers compare with baselines of their own for the same reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.checkpoint import find, how_to_get, load_safetensors, load_strictly, resolve, sha256
from bench.codec import CodecInfo, Encoded, Need, OperatingPoint, Stream
from bench.codecs.nn.bigcodec import BigCodec, unfilled
from bench.codecs.nn.spectral import SpectralCodec
from bench.errors import UserError, unknown

INFO = CodecInfo(kind="fixed", title="Fixed-rate baseline (ours)", licence="Apache-2.0 (code and weights)")
VERSION = 1
FRAME_RATES = (80, 16000 / 240, 50, 40, 20)  # Hz; checkpoints of 80, 40 and 20 are shipped, one each


@dataclass(frozen=True)
class Latent:
    """Encoder output float32 [D, F] of audio `num_samples` long."""

    features: Tensor
    num_samples: int


class FixedCodec:
    """A loaded model; `analyse`, `encode` and `decode` are described in bench/codec.py."""

    def __init__(self, network: SpectralCodec | BigCodec, sample_rate: int, weights_sha256: str, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.sample_rate = sample_rate
        self.hop_length = network.hop_length
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.weights_sha256 = weights_sha256

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Latent:
        if not audio.numel() or not bool(audio.isfinite().all()):
            raise ValueError("audio must hold at least one sample, and only finite ones")
        padded = F.pad(audio.to(self.device), (0, -len(audio) % self.hop_length))
        return Latent(self.network.encoder(padded[None])[0], len(audio))

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        own_rate = self.sample_rate / self.hop_length
        if point.frame_rate != own_rate:
            raise ValueError(f"this checkpoint has {own_rate:g} Hz, not {point.frame_rate:g}: each rate is a checkpoint of its own")
        quantizer = self.network.quantizer
        stream = Stream(quantizer(latent.features[None]).tokens[0].cpu(), (quantizer.codebook_size,))
        return Encoded((stream,), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        (stream,) = encoded.streams
        audio = self.network.decoder(self.network.quantizer.decode(stream.tokens[None].to(self.device)))[0]
        if not len(audio) - self.hop_length < encoded.num_samples <= len(audio):
            raise ValueError(f"{stream.num_frames} frames do not fit {encoded.num_samples} samples")
        return audio[: encoded.num_samples].cpu()


def point(**settings: float) -> OperatingPoint:
    """The point of `frame_rate`, which must be the checkpoint's own."""
    for name in settings:
        if name != "frame_rate":
            raise ValueError(unknown("setting", name, ["frame_rate"]))
    if "frame_rate" not in settings:
        raise ValueError("frame_rate is missing")
    return OperatingPoint(f"{settings['frame_rate']:.3g}hz", float(settings["frame_rate"]), n_q=1)


POINTS = {each.name: each for each in (point(frame_rate=rate) for rate in FRAME_RATES)}


def needs(checkpoint: str | None) -> list[Need]:
    name = checkpoint or "tiny_80hz"
    return [Need("weights", f"fixed {name}", find(name, "fixed") is not None, how_to_get(name))]


def load(checkpoint: str | None, device: torch.device) -> FixedCodec:
    """`tiny_80hz` (the default), `tiny_40hz`, `tiny_20hz`, or whatever bench/checkpoint.py resolves."""
    path = resolve(checkpoint or "tiny_80hz", "fixed")
    tensors, metadata = load_safetensors(path)
    config = json.loads(metadata.get("config", "{}"))
    if (config and config.get("family") != "spectral") or "sample_rate" not in metadata:
        raise UserError(f"{path}: its metadata is not that of a fixed-rate model: not a checkpoint of `bench train`")
    # the tensors of CodecSlime's own backbone say enough, so it has no config
    network = SpectralCodec(config) if config else unfilled(tensors)
    load_strictly(network, tensors, path)
    return FixedCodec(network, int(metadata["sample_rate"]), sha256(path), device)
