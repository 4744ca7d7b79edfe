"""Speex in wideband mode through libspeex: constant rate, 20 ms packets that tell their own mode."""

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
    title="Speex (wideband)",
    licence="BSD-3-Clause",
    citation="@inproceedings{valin2006speex, author={Valin, Jean-Marc}, "
    "title={{Speex}: A Free Codec For Free Speech}, booktitle={linux.conf.au}, year={2006}}",
    url="https://www.speex.org",
)
VERSION = 1
# Speex has quality steps, not bitrates: these are the ones whose packets differ below 24 kbps.
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps:g}kbps": OperatingPoint(f"{kbps:g}kbps", 50.0, 0, {"quality": float(quality)})
    for quality, kbps in enumerate((4, 6, 8, 10, 12.8, 16.8, 20.8, 24))
}

# the encoder's lookahead of 143 samples and the 79 of the decoder's band-splitting filter
_CODER = Coder("libspeex", sample_rate=16000, frame_length=320, delay=222, decoded_rate=16000)


class Speex(PacketCodec):
    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        return Encoded((), len(latent), self.coder.encode(latent, cbr_quality=str(int(point.options["quality"]))))


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [_CODER.need("pip install 'av<17'  (later wheels leave libspeex out)")]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    return Speex(_CODER)
