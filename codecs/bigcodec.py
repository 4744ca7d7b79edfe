"""BigCodec (Xin et al., 2024): one codebook of 8192 entries at 80 Hz; the network that CodecSlime merges, as its own authors trained it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench import checkpoint as files
from bench.codec import Codec, CodecInfo, OperatingPoint
from bench.codecs.bases.points import pick
from bench.codecs.bases.single import SingleCodec
from bench.codecs.nn.bigcodec import unfilled
from bench.errors import UserError
from bench.needs import Need, weights

INFO = CodecInfo(
    kind="fixed",
    title="BigCodec",
    licence="MIT (code; none is stated for the weights)",
    citation="@article{xin2024bigcodec, author={Xin, Detai and Tan, Xu and Takamichi, Shinnosuke and Saruwatari, Hiroshi}, "
    "title={{BigCodec}: Pushing the Limits of Low-Bitrate Neural Speech Codec}, journal={arXiv:2409.05377}, year={2024}}",
    url="https://github.com/Aria-K-Alethia/BigCodec",
)
VERSION = 1
SAMPLE_RATE = 16000
POINTS: Mapping[str, OperatingPoint] = {"80hz": OperatingPoint("80hz", 80.0, n_q=1)}
# No commit of the hub is known to us: the file's sha256 stands in every result.
CHECKPOINT = "hf:Alethia/BigCodec/bigcodec.pt@main"
_PARTS = {"CodecEnc": "encoder", "generator": "decoder"}  # of the published file, and ours


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    place = checkpoint or CHECKPOINT
    return [weights("bigcodec", place, licence="none stated", name=place)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    """The authors' bigcodec.pt: None for the published one, a path, or what else bench/checkpoint.py resolves."""
    path = files.resolve(checkpoint or CHECKPOINT, "bigcodec")
    content = files.load_torch(path)
    if not isinstance(content, dict) or not _PARTS.keys() <= content.keys():
        raise UserError(f"{path}: holds no {' and '.join(_PARTS)}: not a checkpoint of BigCodec")
    tensors = {f"{ours}.{name}": tensor for theirs, ours in _PARTS.items() for name, tensor in content[theirs].items()}
    with files.named_config(path):
        network = unfilled(tensors, "vq8k")
    files.load_strictly(network, tensors, path)
    return SingleCodec(network, SAMPLE_RATE, files.sha256(path), device)
