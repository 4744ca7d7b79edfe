"""Classical coders run through FFmpeg's libraries (PyAV): audio to bare packets and back, no container."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.audio import fit_length, resample
from bench.codec import Encoded
from bench.codecs.bases.received import check_length
from bench.needs import Need


@dataclass(frozen=True)
class Coder:
    """One coder as FFmpeg names it; every call opens it afresh, so nothing carries over.

    frame_length   samples per packet
    delay          samples by which decoded audio lags behind what went in
    decoded_rate   Hz of the decoder's output
    """

    name: str
    sample_rate: int
    frame_length: int
    delay: int
    decoded_rate: int

    def encode(self, audio: Tensor, bit_rate: int | None = None, **options: str) -> tuple[bytes, ...]:
        """Packets that hold all of `audio` float32 [T], 16 bits deep; the fewest that reach its last sample through the delay."""
        import av

        coder: Any = av.CodecContext.create(self.name, "w")
        coder.sample_rate, coder.layout, coder.format, coder.options = self.sample_rate, "mono", "s16", options
        if bit_rate:
            coder.bit_rate = bit_rate
        num_packets = math.ceil((len(audio) + self.delay) / self.frame_length)
        samples = fit_length(audio.numpy(), num_packets * self.frame_length)
        pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        packets = []
        for index, block in enumerate(pcm.reshape(num_packets, 1, self.frame_length)):
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = self.sample_rate, index * self.frame_length
            packets += coder.encode(frame)
        packets += coder.encode(None)
        return tuple(bytes(packet) for packet in packets[:num_packets])

    def decode(self, packets: Sequence[bytes], num_samples: int) -> Tensor:
        """float32 [num_samples], aligned with what went in; ValueError where it takes another number of packets, or one is damaged."""
        import av
        from av.error import FFmpegError

        self.check_packets(packets, num_samples)
        decoder: Any = av.CodecContext.create(self.name, "r")
        decoder.sample_rate, decoder.layout = self.decoded_rate, "mono"
        try:
            frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))] + decoder.decode(None)
        except FFmpegError as error:
            raise ValueError(f"a packet is damaged: {self.name}: {error.strerror}") from None
        pcm = np.concatenate([np.zeros(0, np.int16), *(frame.to_ndarray()[0] for frame in frames)])
        return self.aligned(pcm.astype(np.float32) / 32768, num_samples)

    def check_packets(self, packets: Sequence[bytes], num_samples: int) -> None:
        """ValueError where `num_samples` take another number of them."""
        check_length(len(packets), num_samples + self.delay, self.frame_length)

    def aligned(self, decoded: np.ndarray, num_samples: int) -> Tensor:
        """float32 [num_samples] at the coder's rate, of what a decoder gave at `decoded_rate`, without its delay."""
        audio = resample(decoded, self.decoded_rate, self.sample_rate)
        if len(audio) < self.delay + num_samples:
            raise ValueError(f"the packets hold {len(audio) - self.delay} samples, not {num_samples}")
        return torch.from_numpy(fit_length(audio[self.delay :], num_samples).copy())

    def need(self, how: str) -> Need:
        """Whether PyAV's FFmpeg was built with this coder."""
        import av

        return Need("package", f"PyAV with {self.name}", self.name in av.codecs_available and _encodes(self.name), how)


class PacketCodec:
    """What the codecs around a `Coder` share; each adds encode()."""

    parameters = 0
    weights_sha256 = ""

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        self.sample_rate, self.hop_length = coder.sample_rate, coder.frame_length

    def analyse(self, audio: Tensor) -> Tensor:
        return audio

    def decode(self, encoded: Encoded) -> Tensor:
        if encoded.streams:
            raise ValueError(f"the stream is not this codec's: it has {len(encoded.streams)} streams of tokens, not packets alone")
        return self.coder.decode(encoded.packets, encoded.num_samples)


def _encodes(name: str) -> bool:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        return bool(Codec(name, "w").is_encoder)
    except UnknownCodecError:
        return False
