"""Opus (RFC 6716) through libopus: 20 ms packets in speech mode, variable rate around the one asked for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint
from bench.codecs.bases.packets import Coder, PacketCodec
from bench.codecs.bases.points import pick
from bench.needs import Need

INFO = CodecInfo(
    kind="classical",
    title="Opus",
    licence="BSD-3-Clause",
    citation="@techreport{rfc6716, author={Valin, Jean-Marc and Vos, Koen and Terriberry, Timothy B.}, "
    "title={Definition of the {Opus} Audio Codec}, institution={IETF}, number={RFC 6716}, year={2012}}",
    url="https://opus-codec.org",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps}kbps": OperatingPoint(f"{kbps}kbps", 50.0, 0, {"bitrate": 1000.0 * kbps}) for kbps in (6, 8, 12, 16, 24)
}

# 24 kHz leaves the coder free to send up to 12 kHz of bandwidth; its lookahead (the "pre-skip") is 6.5 ms at every rate.
_CODER = Coder("libopus", sample_rate=24000, frame_length=480, delay=156, decoded_rate=48000)


class Opus(PacketCodec):
    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        packets = self.coder.encode(latent, int(point.options["bitrate"]), application="voip", frame_duration="20")
        return Encoded((), len(latent), packets)


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [_CODER.need("pip install av")]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return Opus(_CODER)
