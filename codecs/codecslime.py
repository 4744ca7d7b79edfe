"""CodecSlime (Wang et al., ICASSP 2026, arXiv 2506.21074): a fixed-rate codec whose encoder frames are merged where they are alike.

The backbone is BigCodec's VQ-GAN at 80 Hz and 16 kHz, with one codebook: a factorised VQ of 8192 entries (`vq8k`) or an FSQ of 18225
(`fsq18k`). ScheDFR cuts the encoder's output into the segments of 1 to 4 frames that vary least, as many as the frame rate asks for; the
mean of each is quantised; the decoder repeats each token's vector for its duration. Tensor names are those of the released files, which
load strictly. `tiny` is our own small backbone (codecs/nn/spectral.py with an FSQ), trained by the same Melt-and-Cool recipe and run by
the same code.

Where paper and released code disagree we follow the code, so that released weights give the released tokens:
- The cost of a segment of s frames is the sum of their distances to their mean, times (s - 1) / s; the paper prints the plain sum. The
  paper's form is the scheduler "schedfr_paper", LACE's reading "schedfr_squared". The others of codecs/nn/schedule.py are controls, of
  which the paper has only one (merge every 2); "oracle" searches for what the decoder makes the most of.
- Segments: min(F, max(ceil(F / 4), round(F * rate / 80))), halves to even; the paper says ceil.
- FSQ levels are 5, 5, 3, 3, 3, 3, 3, 3, the first varying fastest; the paper gives only their product.
What differs from the code: at 80 Hz, where every segment is one frame, no duration is sent; below, each costs the 2 bits that the paper
counts. The Melt algorithm's slip concerns training alone and is dealt with there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import model_validator
from torch import Tensor

from bench.checkpoint import config_of, find, load_safetensors, load_strictly, named_config, resolve, sha256
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.searched import ORACLE, searched
from bench.codecs.bases.settings import Number, Settings, Whole, read_settings
from bench.codecs.bases.single import Latent, SingleCodec
from bench.codecs.nn.bigcodec import BigCodec, Variant, unfilled
from bench.codecs.nn.schedule import by_rate, num_segments_for
from bench.codecs.nn.segment import expand, merge
from bench.codecs.nn.spectral import SpectralCodec
from bench.errors import Unavailable, UserError, unknown
from bench.needs import Need, weights

RELEASED: tuple[Variant, ...] = ("vq8k", "fsq18k")
HOW_TO_GET_RELEASED = (
    "they are published by github.com/X-LANCE/codecslime; give the file as `checkpoint: /path/to/it.safetensors` "
    "(or hf:owner/repo/file@revision, or https://...#sha256=HEX), or put it at bench/codecs/checkpoints/codecslime_{name}.safetensors"
)

SAMPLE_RATE = 16000
HOP_LENGTH = 200
BASE_FRAME_RATE = SAMPLE_RATE / HOP_LENGTH
LOWEST_FRAME_RATE = 36.0  # the released code's limit, of quality: 20 Hz would still fit segments of 4
MAX_DURATION = 4

INFO = CodecInfo(
    kind="dynamic",
    title="CodecSlime",
    licence="Apache-2.0 (code and tiny weights); CC BY 4.0 (released weights)",
    citation="""@inproceedings{wang2026codecslime,
  title     = {{CodecSlime}: Temporal Redundancy Compression of Neural Speech Codec via Dynamic Frame Rate},
  author    = {Wang, Hankun and Guo, Yiwei and Shao, Chongtian and Li, Bohan and Yu, Kai},
  booktitle = {ICASSP},
  year      = {2026},
  note      = {arXiv:2506.21074},
}""",
    url="https://x-lance.github.io/codecslime/",
)
VERSION = 1


# --- the codec ----------------------------------------------------------------------------------------------------------------


class CodecSlime(SingleCodec):
    """A loaded model that merges the frames between encoder and quantiser as a scheduler says."""

    max_duration = MAX_DURATION

    def __init__(self, network: BigCodec | SpectralCodec, weights_sha256: str, device: torch.device) -> None:
        super().__init__(network, SAMPLE_RATE, weights_sha256, device)

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        features = latent.features
        if point.frame_rate == BASE_FRAME_RATE:
            stream = Stream(self.tokens_of(features), (self.network.quantizer.codebook_size,))
        else:
            _check_frame_rate(point.frame_rate)
            segments = num_segments_for(features.shape[1], point.frame_rate, BASE_FRAME_RATE, MAX_DURATION)
            scheduler, seed = str(point.options.get("scheduler", "schedfr")), int(point.options.get("seed", 0))
            start = SCHEDULERS["schedfr" if scheduler == ORACLE else scheduler](features.T, segments, seed).cpu()
            durations = searched(start, lambda each: self._merged_audio(features, each), MAX_DURATION) if scheduler == ORACLE else start
            stream = self._merged(features, durations)
        return Encoded((stream,), latent.num_samples)

    def _merged(self, features: Tensor, durations: Tensor) -> Stream:
        tokens = self.tokens_of(merge(features, durations.to(self.device)))
        return Stream(tokens, (self.network.quantizer.codebook_size,), durations, MAX_DURATION)

    def _merged_audio(self, features: Tensor, durations: Tensor) -> Tensor:
        return self.network.decoder(self.features_of(self._merged(features, durations)))[0]

    def features_of(self, stream: Stream) -> Tensor:
        features = super().features_of(stream)
        return features if stream.durations is None else expand(features, stream.durations.to(self.device))


# --- operating points ---------------------------------------------------------------------------------------------------------

# Each takes features [F, D], the number of segments and a seed.
SCHEDULERS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = by_rate(MAX_DURATION)


def _check_frame_rate(frame_rate: float) -> None:
    if not LOWEST_FRAME_RATE <= frame_rate <= BASE_FRAME_RATE:
        raise ValueError(f"frame_rate must be {LOWEST_FRAME_RATE:g} to {BASE_FRAME_RATE:g} Hz, got {frame_rate:g}")


class PointSettings(Settings):
    frame_rate: Number | None = None
    target_frame_rate: Number | None = None
    scheduler: str = "schedfr"
    seed: Whole | None = None

    @model_validator(mode="after")
    def _fit(self) -> PointSettings:
        if len(self.given("frame_rate", "target_frame_rate")) != 1:
            raise ValueError("give one number as frame_rate or target_frame_rate")
        _check_frame_rate(self.rate)
        if self.scheduler not in (*SCHEDULERS, ORACLE):
            raise ValueError(unknown("scheduler", self.scheduler, (*SCHEDULERS, ORACLE)))
        if self.seed is not None and self.scheduler != "random":
            raise ValueError(f"seed: only the scheduler 'random' has one, not '{self.scheduler}'")
        return self

    @property
    def rate(self) -> float:
        """Hz; a target is met exactly."""
        return float((self.frame_rate if self.target_frame_rate is None else self.target_frame_rate) or 0)


def point(**settings: float | str) -> OperatingPoint:
    """The point of `frame_rate` (or `target_frame_rate`: it is met exactly), `scheduler` and, for the scheduler "random", `seed`."""
    read = read_settings(PointSettings, settings)
    frame_rate, scheduler = read.rate, read.scheduler
    name, options = f"{frame_rate:g}hz", dict[str, float | str]()
    if scheduler != "schedfr":
        name, options["scheduler"] = f"{name}_{scheduler}", scheduler
    if read.seed is not None:
        name, options["seed"] = f"{name}_seed{read.seed}", read.seed
    return OperatingPoint(name, frame_rate, n_q=1, options=options)


POINTS: Mapping[str, OperatingPoint] = {each.name: each for each in (point(frame_rate=rate) for rate in (80, 67, 60, 50, 44, 40, 36))}


# --- checkpoints --------------------------------------------------------------------------------------------------------------


def needs(checkpoint: str | None) -> list[Need]:
    name = checkpoint or "tiny"
    if name in RELEASED:
        return [weights("codecslime", name, 638.0, "CC BY 4.0", how=HOW_TO_GET_RELEASED.format(name=name))]
    return [weights("codecslime", name)]


def load(checkpoint: str | None, device: torch.device) -> CodecSlime:
    """`tiny` (the default), `vq8k`, `fsq18k`, or whatever bench/checkpoint.py resolves; a file tells by its content which it is."""
    name = checkpoint or "tiny"
    if name in RELEASED and find(name, "codecslime") is None:
        how = HOW_TO_GET_RELEASED.format(name=name)
        raise Unavailable(f"codec 'codecslime': the released weights {name} are not on this machine; {how}")
    path = resolve(name, "codecslime")
    tensors, metadata = load_safetensors(path)
    config = config_of(metadata, path)
    with named_config(path):
        network = SpectralCodec(config) if config.get("family") == "spectral" else unfilled(tensors)
    return _filled(network, tensors, path, device)


def load_official(path: Path | str, variant: Variant, device: torch.device | str = "cpu") -> CodecSlime:
    """The codec of a released safetensors file; every tensor must be there, and no other."""
    if variant not in RELEASED:
        raise ValueError(unknown("variant", variant, RELEASED))
    tensors, _ = load_safetensors(Path(path))
    return _filled(unfilled(tensors, variant), tensors, Path(path), torch.device(device))


def _filled(network: BigCodec | SpectralCodec, tensors: Mapping[str, Tensor], path: Path, device: torch.device) -> CodecSlime:
    if network.hop_length != HOP_LENGTH:
        rate = SAMPLE_RATE / network.hop_length
        raise UserError(f"{path}: its frames come at {rate:g} Hz; codecslime needs a backbone of {BASE_FRAME_RATE:g} Hz")
    load_strictly(network, tensors, path)
    return CodecSlime(network, sha256(path), device)
