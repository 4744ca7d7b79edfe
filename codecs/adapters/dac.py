"""DAC (Kumar et al., 2023) at any of its rates, from the hub's format or from the authors' own release files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint as files
from bench.codec import Codec, CodecInfo, Need
from bench.codecs.adapters.published import Published
from bench.codecs.adapters.residual import ResidualCodec, load_model
from bench.errors import UserError

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
    return Need("weights", checkpoint, files.find(checkpoint, "dac") is not None, files.how_to_get(checkpoint), licence=weights.licence)


def load_dac(codec: str, weights: Published, sample_rate: int, checkpoint: str | None, device: torch.device) -> Codec:
    """The model at `sample_rate` from a folder or hub repository, or from a release file of the authors (.pth, by path or URL)."""
    if checkpoint is not None and _is_release_file(checkpoint):
        path = files.resolve(checkpoint, codec)
        model = _from_release(path, sample_rate)
    else:
        folder = weights.folder(checkpoint, codec)
        path = folder / weights.files[-1]
        model = load_model(_model_class(), folder, {"sampling_rate": sample_rate})
    return DAC(model, path, device, model.config.hop_length, model.config.codebook_size)


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
            upsampling_ratios=kwargs["decoder_rates"],
            n_codebooks=kwargs["n_codebooks"],
            codebook_size=kwargs["codebook_size"],
            codebook_dim=kwargs["codebook_dim"],
            sampling_rate=kwargs["sample_rate"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a release file of DAC: {error} is missing") from None
    if config.sampling_rate != sample_rate:
        raise UserError(f"{path}: the model runs at {config.sampling_rate} Hz, this codec at {sample_rate}")
    config.hidden_size = config.encoder_hidden_size * 2 ** len(config.downsampling_ratios)
    model = _model_class()(config)
    num_blocks = len(config.downsampling_ratios)
    files.load_strictly(model, {_hub_name(name, num_blocks): tensor for name, tensor in _unnormalised(tensors).items()}, path)
    return model


def _unnormalised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight-normalised pairs (g, v) multiplied out into plain weights."""
    plain = {name: tensor for name, tensor in tensors.items() if not name.endswith((".weight_g", ".weight_v"))}
    for name in tensors:
        if name.endswith(".weight_v"):
            stem = name.removesuffix("_v")
            plain[stem] = torch._weight_norm(tensors[name], tensors[f"{stem}_g"], 0)
    return plain


_UNIT = ("snake1", "conv1", "snake2", "conv2")  # of a residual unit, in the order of the release's nn.Sequential


def _hub_name(name: str, num_blocks: int) -> str:
    """What transformers calls a tensor of the release, whose encoder and decoder are lists: in, blocks, activation, out."""
    listed = re.fullmatch(r"(encoder)\.block\.(\d+)\.(.+)|(decoder)\.model\.(\d+)\.(.+)", name)
    if listed is None:
        return name  # the quantiser's names are the same
    part, number, rest = (group for group in listed.groups() if group is not None)
    index = int(number)
    if index in (0, num_blocks + 1, num_blocks + 2):
        return f"{part}.{ {0: 'conv1', num_blocks + 1: 'snake1', num_blocks + 2: 'conv2'}[index] }.{rest}"
    inner = re.fullmatch(r"block\.(\d+)\.(?:block\.(\d+)\.)?(.+)", rest)
    if inner is None:
        return name
    layer, unit_layer, tensor = int(inner[1]), inner[2], inner[3]
    first_unit = 0 if part == "encoder" else 2
    if unit_layer is not None:
        return f"{part}.block.{index - 1}.res_unit{layer - first_unit + 1}.{_UNIT[int(unit_layer)]}.{tensor}"
    names = {3: "snake1", 4: "conv1"} if part == "encoder" else {0: "snake1", 1: "conv_t1"}
    return f"{part}.block.{index - 1}.{names.get(layer, layer)}.{tensor}"
