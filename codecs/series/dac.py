"""DAC (Kumar et al., 2023) at its three rates, a codec each, from the hub's format or from the authors' own release files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint as files
from bench import needs
from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick, residual_points
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import TRANSFORMERS_FILES, ResidualCodec, load_model, transformers_class
from bench.errors import UserError
from bench.needs import Need

_MODEL = "DacModel"
_CITATION = (
    "@article{kumar2023dac, author={Kumar, Rithesh and Seetharaman, Prem and Luebs, Alejandro and Kumar, Ishaan and Kumar, Kundan}, "
    "title={High-Fidelity Audio Compression with Improved {RVQGAN}}, journal={arXiv:2306.06546}, year={2023}}"
)


@dataclass(frozen=True)
class DACModule:
    """DAC at one rate: a `CodecModule`.

    shown   the numbers of codebooks that are points without being asked for
    """

    name: str
    sample_rate: int  # Hz
    hop_length: int  # samples
    num_codebooks: int
    shown: tuple[int, ...]
    weights: Published

    VERSION = 1

    @property
    def INFO(self) -> CodecInfo:  # noqa: N802 - the names of CodecModule
        title = f"DAC {self.sample_rate / 1000:g} kHz"
        return CodecInfo("fixed", title, "MIT", _CITATION, "https://github.com/descriptinc/descript-audio-codec")

    @property
    def POINTS(self) -> Mapping[str, OperatingPoint]:  # noqa: N802
        return residual_points(self.sample_rate / self.hop_length, *self.shown)

    def point(self, **settings: float | str) -> OperatingPoint:
        return pick(residual_points(self.sample_rate / self.hop_length, *range(1, self.num_codebooks + 1)), settings)

    def needs(self, checkpoint: str | None) -> list[Need]:
        """The hub's folder, or a release file."""
        if checkpoint is None or not _is_release_file(checkpoint):
            return [self.weights.need(checkpoint)]
        return [needs.weights("dac", checkpoint, licence=self.weights.licence, name=checkpoint)]

    def load(self, checkpoint: str | None, device: torch.device) -> Codec:
        """From a folder or hub repository, or from a release file of the authors (.pth, by path or URL)."""
        if checkpoint is not None and _is_release_file(checkpoint):
            path = files.resolve(checkpoint, self.name)
            model = _from_release(path, self.sample_rate)
        else:
            folder = self.weights.folder(checkpoint, self.name)
            path = folder / self.weights.files[-1]
            model = load_model(_MODEL, folder, {"sampling_rate": self.sample_rate})
        return DAC(model, path, device, model.config.hop_length, model.config.codebook_size, model.config.n_codebooks)


def _weights(repo: str, revision: str, size_mb: float) -> Published:
    return Published(f"descript/{repo}", revision, TRANSFORMERS_FILES, size_mb, "MIT")


CODECS: Mapping[str, DACModule] = {
    module.name: module
    for module in (
        DACModule("dac_16k", 16000, 320, 12, (1, 2, 4, 8, 12), _weights("dac_16khz", "7c2fc5e759f1f501aefc6e7a0265cc57f5d17ba7", 297)),
        DACModule("dac_24k", 24000, 320, 32, (1, 2, 4, 8, 16, 32), _weights("dac_24khz", "6ba020b5ba7d9d8076fb90db7e67f27e31980f6e", 299)),
        DACModule("dac_44k", 44100, 512, 9, (1, 2, 4, 6, 9), _weights("dac_44khz", "c1bc521685adf9cfe247bc39a5ca58917eda1ac4", 307)),
    )
}


class DAC(ResidualCodec):
    """The whole signal at once and as loud as it came; the authors' `compress` works by the second and at -16 dB."""

    def tokens_of(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio, (0, -audio.shape[-1] % self.hop_length))
        return self.model.encode(padded, n_quantizers=self.model.config.n_codebooks).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(audio_codes=tokens).audio_values


def _is_release_file(checkpoint: str) -> bool:
    return checkpoint.partition("#")[0].endswith(".pth")


def _from_release(path: Path, sample_rate: int) -> Any:
    content = files.load_torch(path)
    try:
        kwargs, tensors = content["metadata"]["kwargs"], content["state_dict"]
        config = transformers_class(_MODEL).config_class(
            encoder_hidden_size=kwargs["encoder_dim"],
            downsampling_ratios=kwargs["encoder_rates"],
            decoder_hidden_size=kwargs["decoder_dim"],
            n_codebooks=kwargs["n_codebooks"],
            codebook_size=kwargs["codebook_size"],
            codebook_dim=kwargs["codebook_dim"],
            sampling_rate=kwargs["sample_rate"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a release file of DAC: {error} is missing") from None
    if config.sampling_rate != sample_rate:
        raise UserError(f"{path}: the model runs at {config.sampling_rate} Hz, this codec at {sample_rate}")
    model = transformers_class(_MODEL)(config)
    layers, renamed = _hub_layers(len(config.downsampling_ratios)), {}
    for name, tensor in _unnormalised(tensors).items():
        layer, _, leaf = name.rpartition(".")
        renamed[f"{layers.get(layer, layer)}.{leaf}"] = tensor  # the quantiser's layers have the same names
    files.load_strictly(model, renamed, path)
    return model


def _unnormalised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight-normalised pairs (g, v) multiplied out into plain weights."""
    pairs: dict[str, dict[str, Tensor]] = {}
    plain = {}
    for name, tensor in tensors.items():
        if ending := next((ending for ending in _NORM_AND_DIRECTION if name.endswith(ending)), None):
            pairs.setdefault(f"{name.removesuffix(ending)}.weight", {})[_NORM_AND_DIRECTION[ending]] = tensor.float()
        else:
            plain[name] = tensor
    return plain | {name: torch._weight_norm(pair["v"], pair["g"], 0) for name, pair in pairs.items() if len(pair) == 2}


# as torch has called them before and after 2.0
_NORM_AND_DIRECTION = {
    ".weight_g": "g",
    ".weight_v": "v",
    ".parametrizations.weight.original0": "g",
    ".parametrizations.weight.original1": "v",
}


_RESIDUAL_UNIT = ("snake1", "conv1", "snake2", "conv2")


def _hub_layers(num_blocks: int) -> dict[str, str]:
    """What transformers calls each layer of a release file, whose encoder and decoder are lists in lists."""
    names: dict[str, str] = {}
    for part, layers, first_unit, others in (
        ("encoder", "encoder.block", 0, {3: "snake1", 4: "conv1"}),
        ("decoder", "decoder.model", 2, {0: "snake1", 1: "conv_t1"}),
    ):
        names |= {
            f"{layers}.0": f"{part}.conv1",
            f"{layers}.{num_blocks + 1}": f"{part}.snake1",
            f"{layers}.{num_blocks + 2}": f"{part}.conv2",
        }
        for block in range(num_blocks):
            released, ours = f"{layers}.{block + 1}.block", f"{part}.block.{block}"
            names |= {f"{released}.{layer}": f"{ours}.{name}" for layer, name in others.items()}
            for unit in range(3):
                unit_layers = f"{released}.{first_unit + unit}.block"
                names |= {f"{unit_layers}.{layer}": f"{ours}.res_unit{unit + 1}.{name}" for layer, name in enumerate(_RESIDUAL_UNIT)}
    return names
