"""The fixed-rate baselines: the backbones that CodecSlime merges, its tiny one and the paper's, each trained alone at one rate.

The same network at every rate but for its strides, so that a fixed and a dynamic codec of one size, one training set and one number of
steps can be compared; the papers compare with baselines of their own for the same reason.
"""

from __future__ import annotations

import torch

from bench.checkpoint import config_of, load_safetensors, load_strictly, named_config, resolve, sha256
from bench.codec import CodecInfo, OperatingPoint
from bench.codecs.bases.settings import Number, Settings, read_settings
from bench.codecs.bases.single import SingleCodec
from bench.codecs.nn.bigcodec import FSQ_LEVELS, unfilled
from bench.codecs.nn.spectral import SpectralCodec
from bench.errors import UserError
from bench.needs import Need, weights

INFO = CodecInfo(kind="fixed", title="Fixed-rate baseline (ours)", licence="Apache-2.0 (code and weights)")
VERSION = 1
FRAME_RATES = (80, 16000 / 240, 50, 40, 20)  # Hz; checkpoints of 80, 40 and 20 are shipped, one each


class PointSettings(Settings):
    frame_rate: Number


def point(**settings: float | str) -> OperatingPoint:
    """The point of `frame_rate`, which must be the checkpoint's own."""
    frame_rate = read_settings(PointSettings, settings).frame_rate
    return OperatingPoint(f"{frame_rate:.3g}hz", frame_rate, n_q=1)


POINTS = {each.name: each for each in (point(frame_rate=rate) for rate in FRAME_RATES)}


def needs(checkpoint: str | None) -> list[Need]:
    return [weights("fixed", checkpoint or "tiny_80hz")]


def load(checkpoint: str | None, device: torch.device) -> SingleCodec:
    """`tiny_80hz` (the default), `tiny_40hz_649bps`, `tiny_20hz`, or whatever bench/checkpoint.py resolves."""
    path = resolve(checkpoint or "tiny_80hz", "fixed")
    tensors, metadata = load_safetensors(path)
    config = config_of(metadata, path)
    if config.get("family", "bigcodec") not in ("spectral", "bigcodec") or "sample_rate" not in metadata:
        raise UserError(f"{path}: its metadata is not that of a fixed-rate model: not a checkpoint of `bench train`")
    with named_config(path):
        # the tensors of CodecSlime's own backbone say enough, but for the levels of another FSQ than its own
        spectral = config.get("family") == "spectral"
        network = SpectralCodec(config) if spectral else unfilled(tensors, levels=config.get("levels", FSQ_LEVELS))
        sample_rate = int(metadata["sample_rate"])
    load_strictly(network, tensors, path)
    return SingleCodec(network, sample_rate, sha256(path), device)
