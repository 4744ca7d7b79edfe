"""NeuCodec (Neuphonic, 2025): X-Codec 2's plan with a decoder at 24 kHz, 50 frames/s of one token of 65,536.

It hears 16 kHz and speaks 24 kHz: as a codec of 24 kHz it resamples what goes in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import needs as kinds
from bench.audio import fit_length, resample
from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, load_model, transformers_class, transformers_need
from bench.codecs.bases.semantic import FilterBankCodec
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="NeuCodec",
    licence="Apache-2.0",
    citation="@article{julian2025neucodec, author={Julian, Harry and others}, title={Finite Scalar Quantization Enables Redundant and "
    "Transmission-Robust Neural Audio Compression at Low Bit-rates}, journal={arXiv:2509.09550}, year={2025}}",
    url="https://huggingface.co/neuphonic/neucodec",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {"0.8kbps": OperatingPoint("0.8kbps", 50.0, 1)}
# No commit of the hub is known to us: the file's sha256 stands in every result.
WEIGHTS = Published("neuphonic/neucodec", "main", TRANSFORMERS_FILES, 2520, "Apache-2.0")
_HEARS = 16000  # Hz


class NeuCodec(FilterBankCodec):
    def tokens_of(self, audio: Tensor) -> Tensor:
        whole = F.pad(audio, (0, -audio.shape[-1] % self.hop_length))  # else a last frame that is not whole is left out
        heard = resample(whole[0, 0].cpu().numpy(), self.sample_rate, self.heard_at)
        heard = fit_length(heard, whole.shape[-1] * self.heard_at // self.sample_rate)
        return super().tokens_of(torch.from_numpy(heard)[None, None])


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    return [transformers_need(5, 17), kinds.package("torchaudio", "torchaudio"), WEIGHTS.need(checkpoint)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    folder = WEIGHTS.folder(checkpoint, "neucodec")
    model = load_model("NeuCodecModel", folder, {"input_sampling_rate": _HEARS, "output_sampling_rate": 24000})
    extractor = transformers_class("NeuCodecFeatureExtractor")(hop_length=model.config.encoder_hop_length)
    return NeuCodec(model, folder / "model.safetensors", device, extractor, _HEARS, model.config.output_sampling_rate)
