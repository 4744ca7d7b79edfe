"""AMR narrow-band (3GPP TS 26.090) through opencore-amr: the telephone's speech coder, 8 kHz, 20 ms frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint
from bench.codecs.bases.packets import Coder, PacketCodec
from bench.codecs.bases.points import pick
from bench.needs import Need

INFO = CodecInfo(
    kind="classical",
    title="AMR-NB",
    licence="Apache-2.0 (opencore-amr)",
    citation="@techreport{ts26090, author={{3GPP}}, title={Adaptive Multi-Rate ({AMR}) speech codec; Transcoding functions}, "
    "number={TS 26.090}, year={1999}}",
    url="https://www.3gpp.org/dynareport/26090.htm",
)
VERSION = 1
_MODES = {4750: 12, 5150: 13, 5900: 15, 6700: 17, 7400: 19, 7950: 20, 10200: 26, 12200: 31}  # bit/s: bytes of speech data a frame
POINTS: Mapping[str, OperatingPoint] = {
    f"{mode / 1000:g}kbps": OperatingPoint(f"{mode / 1000:g}kbps", 50.0, 0, {"bitrate": float(mode)}) for mode in _MODES
}

_CODER = Coder("libopencore_amrnb", sample_rate=8000, frame_length=160, delay=40, decoded_rate=8000)
_GOOD_FRAME = 0x04


class AMR(PacketCodec):
    """Packets are the speech data alone: the storage format's frame header says no more than their length does."""

    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        frames = self.coder.encode(latent, int(point.options["bitrate"]))
        return Encoded((), len(latent), tuple(frame[1:] for frame in frames))

    def decode(self, encoded: Encoded) -> Tensor:
        frame_types = {length: index for index, length in enumerate(_MODES.values())}
        for data in encoded.packets:
            if len(data) not in frame_types:
                raise ValueError(f"a packet of {len(data)} bytes is no frame; those have {', '.join(map(str, frame_types))}")
        frames = [bytes([frame_types[len(data)] << 3 | _GOOD_FRAME]) + data for data in encoded.packets]
        return super().decode(replace(encoded, packets=tuple(frames)))


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [_CODER.need("pip install av")]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return AMR(_CODER)
