"""DAC (Kumar et al., 2023) at any of its rates, from the hub's format or from the authors' own release files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint as files
from bench import needs
from bench.codec import Codec, CodecInfo
from bench.codecs.bases.repository import Published
from bench.codecs.bases.residual import ResidualCodec, load_model
from bench.errors import UserError
from bench.needs import Need

CITATION = (
    "@article{kumar2023dac, author={Kumar, Rithesh and Seetharaman, Prem and Luebs, Alejandro and Kumar, Ishaan and Kumar, Kundan}, "
    "title={High-Fidelity Audio Compression with Improved {RVQGAN}}, journal={arXiv:2306.06546}, year={2023}}"
)


def info(title: str) -> CodecInfo:
    return CodecInfo("fixed", title, "MIT", CITATION, "https://github.com/descriptinc/descript-audio-codec")


class DAC(ResidualCodec):
    """The whole signal at once and as loud as it came; the authors' `compress` works by the second and at -16 dB."""

    def tokens_of(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio, (0, -audio.shape[-1] % self.hop_length))
        return self.model.encode(padded, n_quantizers=self.model.config.n_codebooks).audio_codes

    def audio_of(self, tokens: Tensor) -> Tensor:
        return self.model.decode(audio_codes=tokens).audio_values


def weights_need(weights: Published, checkpoint: str | None) -> Need:
    """The hub's folder, or a release file."""
    if checkpoint is None or not _is_release_file(checkpoint):
        return weights.need(checkpoint)
    return needs.weights("dac", checkpoint, licence=weights.licence, name=checkpoint)


def load_dac(codec: str, weights: Published, sample_rate: int, checkpoint: str | None, device: torch.device) -> Codec:
    """The model at `sample_rate` from a folder or hub repository, or from a release file of the authors (.pth, by path or URL)."""
    if checkpoint is not None and _is_release_file(checkpoint):
        path = files.resolve(checkpoint, codec)
        model = _from_release(path, sample_rate)
    else:
        folder = weights.folder(checkpoint, codec)
        path = folder / weights.files[-1]
        model = load_model(_model_class(), folder, {"sampling_rate": sample_rate})
    return DAC(model, path, device, model.config.hop_length, model.config.codebook_size, model.config.n_codebooks)


def _is_release_file(checkpoint: str) -> bool:
    return checkpoint.partition("#")[0].endswith(".pth")


def _model_class() -> Any:
    from transformers import DacModel

    return DacModel


def _from_release(path: Path, sample_rate: int) -> Any:
    content = files.load_torch(path)
    try:
        kwargs, tensors = content["metadata"]["kwargs"], content["state_dict"]
        config = _model_class().config_class(
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
    model = _model_class()(config)
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
