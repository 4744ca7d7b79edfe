"""EnCodec at 48 kHz (Défossez et al., 2022): stereo, by the second, each second at its own loudness; 2 to 16 codebooks of 1024.

A mono signal goes in as both channels, and their mean comes out. One stream of tokens holds both channels together, so its bits are the
bits of stereo. The loudness of each second is 32 bits beside its tokens, counted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import checkpoint as files
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.codecs.bases.received import check_codebooks
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, load_model
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="EnCodec 48 kHz (stereo)",
    licence="MIT",
    citation="@article{defossez2022encodec, author={Défossez, Alexandre and Copet, Jade and Synnaeve, Gabriel and Adi, Yossi}, "
    "title={High Fidelity Neural Audio Compression}, journal={arXiv:2210.13438}, year={2022}}",
    url="https://github.com/facebookresearch/encodec",
)
VERSION = 1
_CHUNK, _STRIDE = 48000, 47520  # samples: a second, of which 1 % is laid over the next one
_FRAME_RATE = 150 * 48000 / _STRIDE  # Hz; 150 frames each 0.99 s
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps}kbps": OperatingPoint(f"{kbps}kbps", _FRAME_RATE, n_q) for kbps, n_q in ((3, 2), (6, 4), (12, 8), (24, 16))
}
WEIGHTS = Published("facebook/encodec_48khz", "c3def8e7185ac8c8efdce6eb8c4a651e487a503e", TRANSFORMERS_FILES, 76, "MIT")


@dataclass(frozen=True)
class Chunks:
    """Tokens int64 [N_q, F] of all chunks one after the other, with all codebooks, and each chunk's loudness."""

    tokens: Tensor
    scales: tuple[float, ...]
    num_samples: int


class EnCodec48k:
    """Chunk by chunk through the model's parts.

    The model's own encode() starts a chunk for samples that the last chunk has already covered, and fails where such a chunk is not last.
    """

    sample_rate = 48000

    def __init__(self, model: Any, weights: Path, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.device = device
        config = model.config
        self.hop_length, self.num_codebooks, self.codebook_size = config.hop_length, config.num_quantizers, config.codebook_size
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = files.sha256_of(files.weight_files(weights.parent, weights.name))

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Chunks:
        stereo = audio.to(self.device).expand(1, 2, -1)
        tokens, scales = list[Tensor](), list[float]()
        for start, length in _chunks(len(audio)):
            chunk = stereo[..., start : start + length]
            scale = chunk.mean(dim=1).square().mean().sqrt() + 1e-8
            features = self.model.encoder(chunk / scale)
            tokens.append(self.model.quantizer.encode(features, max(self.model.config.target_bandwidths))[:, 0])
            scales.append(float(scale))
        return Chunks(torch.cat(tokens, dim=1).cpu().to(torch.int64), tuple(scales), len(audio))

    def encode(self, latent: Chunks, point: OperatingPoint) -> Encoded:
        if point.n_q > len(latent.tokens):
            raise ValueError(f"point {point.name} asks for {point.n_q} codebooks, the model has {len(latent.tokens)}")
        stream = Stream(latent.tokens[: point.n_q], (self.codebook_size,) * point.n_q)
        return Encoded((stream,), latent.num_samples, tuple(struct.pack("<f", scale) for scale in latent.scales))

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        if len(encoded.streams) != 1 or encoded.streams[0].durations is not None:
            raise ValueError("the stream is not this codec's: it is no single stream of frames of one length")
        (stream,), chunks = encoded.streams, _chunks(encoded.num_samples)
        check_codebooks(stream, (self.codebook_size,) * self.num_codebooks)
        frames = [-(-length // self.hop_length) for _, length in chunks]
        if stream.num_frames != sum(frames) or list(map(len, encoded.packets)) != [4] * len(chunks):
            raise ValueError(f"{stream.num_frames} frames and {len(encoded.packets)} scales do not fit {encoded.num_samples} samples")
        scales = [struct.unpack("<f", packet)[0] for packet in encoded.packets]
        total, weights = torch.zeros(encoded.num_samples), torch.zeros(encoded.num_samples)
        ramp = torch.linspace(0, 1, _CHUNK + 2)[1:-1]
        triangle = 0.5 - (ramp - 0.5).abs()
        for (start, _), tokens, scale in zip(chunks, stream.tokens.split(frames, dim=1), scales, strict=True):
            audio = self.model.decoder(self.model.quantizer.decode(tokens[:, None].to(self.device))) * scale
            mono = audio[0].mean(dim=0).cpu()[: encoded.num_samples - start]
            total[start : start + len(mono)] += triangle[: len(mono)] * mono
            weights[start : start + len(mono)] += triangle[: len(mono)]
        return total / weights


def _chunks(num_samples: int) -> list[tuple[int, int]]:
    """Start and length of each; the last is the first that reaches the end."""
    count = max(1, -(-(num_samples - (_CHUNK - _STRIDE)) // _STRIDE))
    return [(start, min(_CHUNK, num_samples - start)) for start in range(0, count * _STRIDE, _STRIDE)]


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "encodec_48k")
    expected = {"sampling_rate": 48000, "audio_channels": 2, "normalize": True, "chunk_length": _CHUNK, "chunk_stride": _STRIDE}
    return EnCodec48k(load_model("EncodecModel", folder, expected), folder / "model.safetensors", device)
