"""EnCodec at 24 kHz (Défossez et al., 2022): causal, 75 frames/s, 2 to 32 codebooks of 1024."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, ResidualCodec, load_model
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="EnCodec 24 kHz",
    licence="MIT (code); the weights' card states none",
    citation="@article{defossez2022encodec, author={Défossez, Alexandre and Copet, Jade and Synnaeve, Gabriel and Adi, Yossi}, "
    "title={High Fidelity Neural Audio Compression}, journal={arXiv:2210.13438}, year={2022}}",
    url="https://github.com/facebookresearch/encodec",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps:g}kbps": OperatingPoint(f"{kbps:g}kbps", 75.0, n_q) for kbps, n_q in ((1.5, 2), (3, 4), (6, 8), (12, 16), (24, 32))
}
WEIGHTS = Published("facebook/encodec_24khz", "c1dbe2ae3f1de713481a3b3e7c47f357092ee040", TRANSFORMERS_FILES, 93, "not stated")


class EnCodec(ResidualCodec):
    def tokens_of(self, audio: Tensor) -> Tensor:
        (chunk,) = self.model.encode(audio, bandwidth=max(self.model.config.target_bandwidths)).audio_codes
        return chunk

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens[None], [None]).audio_values


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "encodec_24k")
    # the 48 kHz model is stereo, normalises each second and sends its loudness: another codec
    expected = {"sampling_rate": 24000, "audio_channels": 1, "normalize": False, "chunk_length_s": None}
    model = load_model("EncodecModel", folder, expected)
    config = model.config
    return EnCodec(model, folder / "model.safetensors", device, config.hop_length, config.codebook_size, config.num_quantizers)
