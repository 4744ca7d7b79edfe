"""Codec2 (Rowe): a vocoder for radio, 8 kHz, 0.7 to 3.2 kbps, through its command-line programs."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bench.audio import fit_length
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.codecs.bases.received import check_length
from bench.needs import Need

INFO = CodecInfo(
    kind="classical",
    title="Codec2",
    licence="LGPL-2.1",
    citation="@misc{rowe2010codec2, author={Rowe, David}, title={{Codec} 2: an open source speech codec}, year={2010}}",
    url="https://www.rowetel.com/codec2.html",
)
VERSION = 1

# mode: (bits a frame, samples a frame, samples of delay)
_MODES = {
    "3200": (64, 160, 160),
    "2400": (48, 160, 160),
    "1600": (64, 320, 160),
    "1400": (56, 320, 160),
    "1300": (52, 320, 160),
    "1200": (48, 320, 160),
    "700C": (28, 320, 240),
}
POINTS: Mapping[str, OperatingPoint] = {
    f"{bits * 8 / length:g}kbps": OperatingPoint(f"{bits * 8 / length:g}kbps", 8000 / length, 0, {"bitrate": 8000.0 * bits / length})
    for bits, length, _ in _MODES.values()
}


class Codec2:
    """Frames as the tokens of their bytes, the last one as wide as its bits, so that they cost what they hold; one byte names the mode.

    The programs, not a binding to the library: its noise generator has one state a process, so a decoder in this process would
    answer differently each time.
    """

    sample_rate = 8000
    hop_length = 160
    parameters = 0
    weights_sha256 = ""

    def analyse(self, audio: Tensor) -> Tensor:
        return audio

    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        index = list(POINTS.values()).index(point)
        mode, (bits, length, delay) = list(_MODES.items())[index]
        num_frames = math.ceil((len(latent) + delay) / length)
        samples = fit_length(latent.numpy(), num_frames * length)
        pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
        frames = np.frombuffer(_run("c2enc", mode, pcm.tobytes()), np.uint8).reshape(num_frames, -1).T
        tokens = torch.from_numpy(frames.astype(np.int64) >> (8 - _widths(bits)[:, None]))
        return Encoded((Stream(tokens, _sizes(bits)),), len(latent), (_byte(index),))

    def decode(self, encoded: Encoded) -> Tensor:
        if len(encoded.streams) != 1 or len(encoded.packets) != 1 or encoded.packets[0] not in map(_byte, range(len(_MODES))):
            raise ValueError("the stream is not this codec's: it is no stream of frames and a byte for their mode")
        stream = encoded.streams[0]
        mode, (bits, length, delay) = list(_MODES.items())[encoded.packets[0][0]]
        if stream.codebook_sizes != _sizes(bits) or stream.durations is not None:
            raise ValueError(f"the stream is not this codec's: its frames are not the {bits} bits of mode {mode}")
        check_length(stream.num_frames, encoded.num_samples + delay, length)
        frames = (stream.tokens.numpy() << (8 - _widths(bits)[:, None])).astype(np.uint8).T
        pcm = np.frombuffer(_run("c2dec", mode, frames.tobytes()), "<i2")
        return torch.from_numpy(fit_length(pcm[delay:].astype(np.float32) / 32768, encoded.num_samples))


def _widths(bits: int) -> np.ndarray:
    """Bits in use of each byte of a frame, int64."""
    return np.array([min(8, bits - start) for start in range(0, bits, 8)])


def _sizes(bits: int) -> tuple[int, ...]:
    """Of the codebooks that the bytes of a frame are."""
    return tuple(2 ** int(width) for width in _widths(bits))


def _byte(value: int) -> bytes:
    return bytes([value])


def _run(program: str, mode: str, data: bytes) -> bytes:
    return subprocess.run([program, mode, "-", "-"], input=data, capture_output=True, check=True).stdout


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    available = all(shutil.which(program) for program in ("c2enc", "c2dec"))
    return [Need("package", "codec2 (c2enc, c2dec)", available, "apt install codec2, or build github.com/drowe67/codec2")]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return Codec2()
