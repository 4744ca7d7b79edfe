"""TFC, Temporally Flexible Coding (Zhang et al., Interspeech 2025, arXiv 2505.16845): three frame rates in one utterance, by its entropy.

An encoder (DAC's, 75 Hz at 24 kHz) is followed by two blocks that halve the rate. Where the audio's amplitudes have little entropy, one
coarse frame stands for four fine ones, elsewhere a medium one for two; the shares of time (r_f, r_m, r_c) are an argument. The chosen
frames are quantised by one residual VQ, spread over the fine grid, and a decoder that goes up the same ladder joins them. As in the paper:
backbone, entropy, shares as quantiles within the utterance, decoder, codebook dropout. No code and no weights are public, so what is
silent or slips there is read as follows:
- Both halving blocks see two frames (kernel 2, stride 2): only so the entropy windows, which the paper takes as long as the receptive
  fields, grow by one and two strides as stated. Windows are centred on their frame and cut at the edges of the audio.
- Entropy: 65 amplitude bins, sigma half their spacing (the paper gives neither), so that a bin lies at 0 and silence is lowest. The image
  codec that the paper follows has 32 and 0.01: `entropy_bins`, `entropy_sigma` in a checkpoint's config.
- Shares are exact counts of ranks, the earlier of equals first; the paper's "<= quantile" is the rule "threshold" and takes all of a tie.
  The printed mask of medium frames counts covered ones as zeros and would overlap the coarse mask: the rest alone is ranked.
- The audio is padded to whole coarse frames, so durations may sum to up to three fine frames more than the audio has.
- One RVQ for all three rates, since the paper lists one; `separate_quantizers` has three.
- The decoder receives y_f (printed: y_c).
- The paper counts no bits for the masks; here durations are sent, and counted, as conditional flags.
`tiny` is the same method at 16 kHz around our own small backbone (codecs/nn/spectral.py): 80, 40 and 20 Hz, 75 Hz being no whole hop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from bench.checkpoint import config_of, load_safetensors, load_strictly, named_config, resolve, sha256
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream, check_audio
from bench.codecs.bases.received import check_length, only_stream
from bench.codecs.bases.settings import Number, Settings, read_settings
from bench.codecs.nn.conv import Snake, WNConv1d, WNConvTranspose1d
from bench.codecs.nn.dac import DACDecoder, DACEncoder
from bench.codecs.nn.schedule import RULES, check_ratios, temporal_entropy, tfc_masks
from bench.codecs.nn.segment import expand
from bench.codecs.nn.spectral import SpectralDecoder, SpectralEncoder
from bench.codecs.nn.vq import ResidualVQ
from bench.errors import UserError, unknown
from bench.needs import Need, weights

Ratios = tuple[float, float, float]  # shares of time: fine, medium, coarse

DURATIONS = (1, 2, 4)  # of a fine, medium and coarse frame, in fine ones
PAPER_FRAME_RATE = 75.0

INFO = CodecInfo(
    kind="dynamic",
    title="TFC",
    licence="Apache-2.0 (code and tiny weights)",
    citation="""@inproceedings{zhang2025tfc,
  title     = {Unlocking Temporal Flexibility: Neural Speech Codec with Variable Frame Rate},
  author    = {Zhang, Hanglei and Guo, Yiwei and Li, Zhihan and Hao, Xiang and Chen, Xie and Yu, Kai},
  booktitle = {Interspeech},
  year      = {2025},
  note      = {arXiv:2505.16845},
}""",
    url="https://arxiv.org/abs/2505.16845",
)
VERSION = 1


# --- the network --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DACBackbone:
    """DAC's 24 kHz encoder and decoder; tensors have DAC's names, so that its checkpoint can start a training."""

    encoder_channels: int = 64
    decoder_channels: int = 1536
    strides: tuple[int, ...] = (2, 4, 5, 8)
    latent_dim: int = 1024

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of the encoder sees: 5314 at DAC's strides."""
        samples, jump = 7, 1
        for stride in self.strides:
            samples += (6 * (1 + 3 + 9) + 2 * stride - 1) * jump
            jump *= stride
        return samples + 2 * jump

    def build(self) -> tuple[nn.Module, nn.Module]:
        return (
            DACEncoder(self.encoder_channels, self.strides, self.latent_dim),
            DACDecoder(self.latent_dim, self.decoder_channels, self.strides[::-1]),
        )


@dataclass(frozen=True)
class SpectralBackbone:
    """The tiny family's encoder and decoder."""

    width: int = 256
    hidden: int = 640
    encoder_blocks: int = 3
    decoder_blocks: int = 5
    latent_dim: int = 64
    n_fft: int = 800
    hop_length: int = 200

    @property
    def receptive_field(self) -> int:
        return self.n_fft + 6 * self.encoder_blocks * self.hop_length

    def build(self) -> tuple[nn.Module, nn.Module]:
        stft = {"latent_dim": self.latent_dim, "n_fft": self.n_fft, "hop_length": self.hop_length}
        return (
            SpectralEncoder(self.width, self.hidden, self.encoder_blocks, **stft),
            SpectralDecoder(self.width, self.hidden, self.decoder_blocks, **stft),
        )


BACKBONES = {"dac": DACBackbone, "spectral": SpectralBackbone}


@dataclass(frozen=True)
class Config:
    """What a checkpoint's metadata says of its network under `config`, as JSON; the defaults are the paper's 24 kHz model."""

    backbone: DACBackbone | SpectralBackbone = DACBackbone()
    sample_rate: int = 24000
    n_q: int = 32
    codebook_size: int = 1024
    codebook_dim: int = 8
    separate_quantizers: bool = False
    entropy_bins: int = 65
    entropy_sigma: float = 1 / 64

    @classmethod
    def from_json(cls, text: str) -> Config:
        """ValueError or TypeError where a key is not known; `backbone` names its `family` beside its own keys."""
        values: dict[str, Any] = json.loads(text)
        backbone = dict(values.pop("backbone"))
        family = backbone.pop("family")
        if family not in BACKBONES:
            raise ValueError(unknown("backbone family", str(family), BACKBONES))
        lists_as_tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in backbone.items()}
        return cls(backbone=BACKBONES[family](**lists_as_tuples), **values)


@dataclass(frozen=True)
class Reconstruction:
    """Of one training pass: audio [B, T], and the RVQ's losses [B], unweighted."""

    audio: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


class TFC(nn.Module):
    """Encoder, ladder of rates, RVQ and decoder.

    `levels` are features [B, D, F / d] for d in DURATIONS. `span` int64 [B, F] is, at every fine frame, the duration of the frame that
    covers it: the paper's masks b_f, b_m and b_c are span == 1, 2 and 4.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        dim = config.backbone.latent_dim
        self.encoder, self.decoder = config.backbone.build()
        self.down = nn.ModuleList(nn.Sequential(Snake(dim), WNConv1d(dim, dim, 2, stride=2)) for _ in range(2))
        self.up = nn.ModuleList(nn.Sequential(Snake(dim), WNConvTranspose1d(dim, dim, 2, stride=2)) for _ in range(2))
        self.quantizer = ResidualVQ(dim, config.n_q, config.codebook_size, config.codebook_dim)
        if config.separate_quantizers:
            self.medium_quantizer = ResidualVQ(dim, config.n_q, config.codebook_size, config.codebook_dim)
            self.coarse_quantizer = ResidualVQ(dim, config.n_q, config.codebook_size, config.codebook_dim)

    @property
    def quantizers(self) -> tuple[ResidualVQ, ResidualVQ, ResidualVQ]:
        """Of the fine, medium and coarse frames."""
        if self.config.separate_quantizers:
            return self.quantizer, self.medium_quantizer, self.coarse_quantizer
        return self.quantizer, self.quantizer, self.quantizer

    def forward(self, audio: Tensor, ratios: Sequence[Sequence[float]], n_q: int | Tensor | None = None) -> Reconstruction:
        """One pass over `audio` [B, T].

        ratios  (r_f, r_m, r_c) of each item
        n_q     codebooks in use: an int, or int64 [B] (codebook dropout); None: all
        """
        spans = [_span(_durations(*self.entropies(item), shares)) for item, shares in zip(audio, ratios, strict=True)]
        span = torch.stack(spans).to(audio.device)
        levels = self.encode_levels(audio)
        with torch.autocast(audio.device.type, enabled=False):
            levels = [level.float() for level in levels]
            if self.config.separate_quantizers:
                found = [quantizer(level, n_q) for quantizer, level in zip(self.quantizers, levels, strict=True)]
                features = select([each.features for each in found], span)
            else:  # of the frames in use only, each weighing as long as it lasts in the losses
                found = [self.quantizer(select(levels, span), n_q)]
                features = found[0].features
        return Reconstruction(
            self.synthesise(features, span)[:, : audio.shape[-1]],
            torch.stack([each.commitment_loss for each in found]).mean(0),
            torch.stack([each.codebook_loss for each in found]).mean(0),
        )

    def encode_levels(self, audio: Tensor) -> list[Tensor]:
        """Features at the three rates, [B, D, F / d] for d in DURATIONS, of `audio` [B, T] padded to F fine frames, a multiple of 4."""
        fine = self.encoder(F.pad(audio, (0, -audio.shape[-1] % (DURATIONS[-1] * self.config.backbone.hop_length))))
        medium = self.down[0](fine)
        return [fine, medium, self.down[1](medium)]

    def entropies(self, audio: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Temporal entropy of each medium and each coarse frame, float64 [F / 2] and [F / 4], of `audio` float32 [T]."""
        samples, hop = audio.detach().float().cpu().numpy(), self.config.backbone.hop_length
        medium, coarse = (
            temporal_entropy(
                samples,
                window=self.config.backbone.receptive_field + (duration - 1) * hop,
                hop=duration * hop,
                bins=self.config.entropy_bins,
                sigma=self.config.entropy_sigma,
            )
            for duration in DURATIONS[1:]
        )
        # The last medium frame may lie in the padding, where nothing is to be measured: it is as calm as the one before.
        return np.pad(medium, (0, 2 * len(coarse) - len(medium)), mode="edge"), coarse

    def synthesise(self, features: Tensor, span: Tensor) -> Tensor:
        """Audio [B, F * hop_length] of dequantised features [B, D, F], by the conditional hierarchical decoder."""
        coarse = F.avg_pool1d(features, 4)
        medium = self.up[0](coarse) + F.avg_pool1d(features, 2) * (span[:, None, ::2] == 2)
        fine = self.up[1](medium) + features * (span[:, None] == 1)
        audio = self.decoder(fine)
        return F.pad(audio, (0, features.shape[-1] * self.config.backbone.hop_length - audio.shape[-1]))  # DAC ends 8 samples early


def select(levels: Sequence[Tensor], span: Tensor) -> Tensor:
    """On the fine grid [B, D, F], at every frame the level that `span` chooses."""
    fine, medium, coarse = (level.repeat_interleave(duration, dim=-1) for level, duration in zip(levels, DURATIONS, strict=True))
    return torch.where(span[:, None] == 4, coarse, torch.where(span[:, None] == 2, medium, fine))


def _durations(medium_entropy: np.ndarray, coarse_entropy: np.ndarray, ratios: Sequence[float], rule: str = "rank") -> Tensor:
    """int64 [K], in fine frames."""
    fine_entropy = np.empty(4 * len(coarse_entropy))  # never looked at: what is left over is fine
    return torch.from_numpy(tfc_masks(fine_entropy, medium_entropy, coarse_entropy, ratios, rule))


def _span(durations: Tensor) -> Tensor:
    return expand(durations, durations)


# --- the codec ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latent:
    """Features [1, D, F / d] for d in DURATIONS, and entropies [F / 2] and [F / 4], of audio `num_samples` long."""

    levels: list[Tensor]
    medium_entropy: np.ndarray
    coarse_entropy: np.ndarray
    num_samples: int


class TFCCodec:
    """A loaded model; `analyse`, `encode` and `decode` are described in bench/codec.py. One stream holds the frames of all three rates."""

    def __init__(self, network: TFC, weights_sha256: str, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.sample_rate, self.hop_length = network.config.sample_rate, network.config.backbone.hop_length
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.weights_sha256 = weights_sha256

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Latent:
        checked = check_audio(audio)
        return Latent(self.network.encode_levels(checked[None].to(self.device)), *self.network.entropies(audio), len(audio))

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        config = self.network.config
        if not 1 <= point.n_q <= config.n_q:
            raise ValueError(f"n_q must be 1 to {config.n_q}, got {point.n_q}")
        rule = str(point.options.get("rule", "rank"))
        durations = _durations(latent.medium_entropy, latent.coarse_entropy, self._ratios(point), rule)
        frames = select(latent.levels, _span(durations)[None].to(self.device))[..., durations.cumsum(0) - durations]
        tokens = torch.empty((point.n_q, len(durations)), dtype=torch.int64)
        for duration, quantizer in zip(DURATIONS, self.network.quantizers, strict=True):
            if bool((chosen := durations == duration).any()):
                tokens[:, chosen] = quantizer(frames[..., chosen.to(self.device)], point.n_q).tokens[0].cpu()
        stream = Stream(tokens, (config.codebook_size,) * point.n_q, durations, DURATIONS[-1], nested=True)
        return Encoded((stream,), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        config, coarsest = self.network.config, DURATIONS[-1]
        stream = only_stream(encoded, (config.codebook_size,) * config.n_q, coarsest, nested=True)
        durations = stream.durations
        if durations is None or int(durations.sum()) % coarsest or bool(((durations.cumsum(0) - durations) % durations).any()):
            raise ValueError("durations must start at multiples of themselves, and sum to a multiple of 4")
        check_length(int(durations.sum()), encoded.num_samples, self.hop_length, more=coarsest - 1)
        tokens = stream.tokens[None].to(self.device)
        frames = torch.empty((1, self.network.config.backbone.latent_dim, stream.num_frames), device=self.device)
        for duration, quantizer in zip(DURATIONS, self.network.quantizers, strict=True):
            if bool((chosen := (durations == duration).to(self.device)).any()):
                frames[..., chosen] = quantizer.decode(tokens[..., chosen])
        span = _span(durations).to(self.device)
        audio = self.network.synthesise(expand(frames, durations.to(self.device)), span[None])[0]
        return audio[: encoded.num_samples].float().cpu()

    def at_own_rate(self, point: OperatingPoint) -> OperatingPoint:
        """A point of shares with the frame rate that they give at this checkpoint's fine rate, in place of the paper's 75 Hz."""
        if "r_f" not in point.options:
            return point
        return replace(point, frame_rate=_mean_frame_rate(self._ratios(point), self.sample_rate / self.hop_length))

    def _ratios(self, point: OperatingPoint) -> Ratios:
        if "r_f" in point.options:
            r_f, r_m, r_c = (float(point.options[name]) for name in ("r_f", "r_m", "r_c"))
            return r_f, r_m, r_c
        return ratios_for(point.frame_rate, self.sample_rate / self.hop_length)


# --- operating points ---------------------------------------------------------------------------------------------------------

RATIOS: Mapping[str, Ratios] = {
    "fine": (1.0, 0.0, 0.0),
    "medium": (0.0, 1.0, 0.0),
    "coarse": (0.0, 0.0, 1.0),
    "training": (0.4, 0.3, 0.3),
    "mixed": (0.1, 0.7, 0.2),  # the paper's example for 37.5 Hz, which prints the triple the other way round
}


def ratios_for(frame_rate: float, fine_frame_rate: float) -> Ratios:
    """The shares that give a mean of `frame_rate` Hz: p^2, 2 p (1 - p) and (1 - p)^2.

    All three rates take part except at the ends, and half the fine rate gives r_c = 2 r_f, as where the paper mixes around 37.5 Hz.
    """
    share = frame_rate / fine_frame_rate
    if not 0.25 <= share <= 1:
        raise ValueError(f"frame_rate must be {fine_frame_rate / 4:g} to {fine_frame_rate:g} Hz, got {frame_rate:g}")
    p = 2 * math.sqrt(share) - 1
    return p**2, 2 * p * (1 - p), (1 - p) ** 2


def _mean_frame_rate(ratios: Ratios, fine_frame_rate: float) -> float:
    return round(fine_frame_rate * (ratios[0] + ratios[1] / 2 + ratios[2] / 4), 6)


class PointSettings(Settings):
    ratios: str | None = None
    r_f: Number | None = None
    r_m: Number | None = None
    r_c: Number | None = None
    frame_rate: Number | None = None
    target_frame_rate: Number | None = None
    n_q: Number = 8
    rule: str = "rank"

    @model_validator(mode="after")
    def _fit(self) -> PointSettings:
        if self.n_q != int(self.n_q) or self.n_q < 1:
            raise ValueError(f"n_q must be a whole number from 1 on, got {self.n_q:g}")
        if self.rule not in RULES:
            raise ValueError(unknown("rule", self.rule, RULES))
        if self.chosen not in _CHOICES:
            told = ", ".join(self.chosen) or "none"
            raise ValueError(f"give ratios, or r_f, r_m and r_c, or frame_rate, or target_frame_rate; got {told}")
        if (rate := self.rate) is not None and rate <= 0:
            raise ValueError(f"{self.chosen[0]} must be above 0 Hz, got {rate:g}")
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        return self.given("ratios", "r_f", "r_m", "r_c", "frame_rate", "target_frame_rate")

    @property
    def rate(self) -> float | None:
        """Hz, None where shares were given."""
        return self.frame_rate if self.target_frame_rate is None else self.target_frame_rate

    @property
    def shares(self) -> str:
        """A name, or the three shares between slashes."""
        return self.ratios if self.ratios is not None else "/".join(str(share) for share in (self.r_f, self.r_m, self.r_c))


_CHOICES = (("ratios",), ("r_f", "r_m", "r_c"), ("frame_rate",), ("target_frame_rate",))


def point(**settings: float | str) -> OperatingPoint:
    """The point of one choice of rates, `n_q` (8 unless given) and `rule` ("rank", or the paper's "threshold").

    The choice is either shares of time: `ratios`, a name or "0.1/0.7/0.2" (fine, medium, coarse), or `r_f`, `r_m` and `r_c`; or a mean
    `frame_rate` (the same as `target_frame_rate`), for which `ratios_for` finds the shares. A point of shares states the frame rate that
    it has at the paper's 75 Hz, until a loaded checkpoint says its own (`at_own_rate`).
    """
    read = read_settings(PointSettings, settings)
    options: dict[str, float | str] = {}
    if read.rate is not None:
        frame_rate, label = float(read.rate), f"{read.rate:g}hz"
    else:
        text = read.shares
        ratios = RATIOS[text] if text in RATIOS else _parse_ratios(text)
        label = text if text in RATIOS else "-".join(f"{share:g}" for share in ratios)
        frame_rate = _mean_frame_rate(ratios, PAPER_FRAME_RATE)
        options = dict(zip(("r_f", "r_m", "r_c"), ratios, strict=True))
    name = f"{label}_{read.n_q:g}q"
    if read.rule != "rank":
        name, options = f"{name}_{read.rule}", {**options, "rule": read.rule}
    return OperatingPoint(name, frame_rate, int(read.n_q), options)


def _parse_ratios(text: str) -> Ratios:
    try:
        r_f, r_m, r_c = map(float, text.split("/"))
    except ValueError:
        raise ValueError(f"{unknown('ratios', text, RATIOS)}, or shares such as 0.1/0.7/0.2") from None
    check_ratios((r_f, r_m, r_c))
    return r_f, r_m, r_c


# Equal bits at one rate: eight codebooks each, then CodecSlime's comparison at 0.75 kbps.
_EQUAL_BITS = (("fine", 1), ("medium", 2), ("coarse", 4))
POINTS: Mapping[str, OperatingPoint] = {
    each.name: each for each in (*(point(ratios=name) for name in RATIOS), *(point(ratios=name, n_q=n_q) for name, n_q in _EQUAL_BITS))
}


# --- checkpoints --------------------------------------------------------------------------------------------------------------


def needs(checkpoint: str | None) -> list[Need]:
    return [weights("tfc", checkpoint or "tiny")]


def load(checkpoint: str | None, device: torch.device) -> TFCCodec:
    """`tiny` (the default), or whatever bench/checkpoint.py resolves: safetensors with a `config` in the metadata."""
    path = resolve(checkpoint or "tiny", "tfc")
    tensors, metadata = load_safetensors(path)
    if "config" not in metadata:
        raise UserError(f"{path}: the metadata hold no 'config'; is it a checkpoint that `bench train` wrote for tfc?")
    config_of(metadata, path)
    with named_config(path):
        network = TFC(Config.from_json(metadata["config"]))
    load_strictly(network, tensors, path)
    return TFCCodec(network, sha256(path), device)
