"""Opus's encoder, which all of its decoders share: 20 ms packets in speech mode, variable rate around the one asked for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bench.codec import Encoded, OperatingPoint
from bench.codecs.bases.packets import Coder, PacketCodec

CITATION = (
    "@techreport{rfc6716, author={Valin, Jean-Marc and Vos, Koen and Terriberry, Timothy B.}, "
    "title={Definition of the {Opus} Audio Codec}, institution={IETF}, number={RFC 6716}, year={2012}}"
)
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps}kbps": OperatingPoint(f"{kbps}kbps", 50.0, 0, {"bitrate": 1000.0 * kbps}) for kbps in (6, 8, 12, 16, 24)
}

# 24 kHz leaves the coder free to send up to 12 kHz of bandwidth; its lookahead (the "pre-skip") is 6.5 ms at every rate.
CODER = Coder("libopus", sample_rate=24000, frame_length=480, delay=156, decoded_rate=48000)


class Opus(PacketCodec):
    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        packets = self.coder.encode(latent, int(point.options["bitrate"]), application="voip", frame_duration="20")
        return Encoded((), len(latent), packets)
