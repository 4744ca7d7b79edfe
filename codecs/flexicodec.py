"""FlexiCodec (Li et al., ICLR 2026, arXiv 2510.00981): frames are merged while the features of a speech recogniser stay alike.

Two encoders run side by side at 12.5 Hz and 16 kHz: a frozen recogniser (SenseVoice-small, block 50) and the convolutional encoder of DAC.
A new group of frames starts where the cosine of two neighbouring recogniser frames is at or below a threshold, or after 8 frames. A
transformer turns each group into one frame, in both streams; the semantic frame is quantised by FSQ (32768), what the acoustic frame adds
to it by residual VQ (4096 each); the sum, repeated for the group's duration, goes through a transformer and DAC's decoder. All tokens
share one time axis and one list of durations. The threshold alone sets the frame rate, so a target rate is met over a data set by `tune`.
Tensor names are those of the released file, which loads strictly. `tiny` is the same codec around our own small backbone
(codecs/nn/spectral.py) and a small recogniser of the same kind, trained by our recipes, which also make its fixed-rate twins: the same
network with a longer hop, whose frames are never merged.

Where paper and released code disagree we follow the code, so that released weights give the released tokens:
- Attention is global; the paper's local windows (8 frames to each side) are not in the code, whose `context` settings have no effect.
- Frames merge while the similarity is above the threshold; the paper says at or above.
- The bound of FSQ shifts by tan, not atanh, as in the FSQ paper's listing.
- The recogniser's features are those of block 50, before its 20 "tp" blocks; the paper calls them the last hidden layer.
- Frames at the end that only one of the encoders has are dropped: min(ceil(T / 1280), int(ceil(fbank frames / 6) / 1.33333)).
- A duration counts 3 bits in the nominal bitrate even at threshold 1, where nothing is merged (as in the paper's tables).
What differs from the code: the filter bank has no dither (the code adds noise of standard deviation 1, so its tokens never repeat);
audio shorter than 1360 samples, which the code refuses, is padded with zeros; the audio, which the code leaves up to a frame short or
long, is cut or padded with zeros to the input's length; in a batch, groups that an item does not have are masked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from bench.checkpoint import (
    config_of,
    find,
    how_to_get,
    load_safetensors,
    load_strictly,
    load_torch,
    named_config,
    resolve,
    sha256,
)
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream, check_audio
from bench.codecs.bases.received import check_length, only_stream
from bench.codecs.bases.searched import ORACLE, searched
from bench.codecs.bases.settings import Number, Settings, read_settings
from bench.codecs.nn.conv import WNConv1d
from bench.codecs.nn.convnext import ConvNeXtBlock
from bench.codecs.nn.dac import DACDecoder, DACEncoder
from bench.codecs.nn.fbank import MEL_BINS, FilterBank, read_cmvn
from bench.codecs.nn.fsq import FSQ
from bench.codecs.nn.schedule import by_rate, greedy_merge, neighbour_similarity, num_segments_for, solve_threshold
from bench.codecs.nn.segment import expand
from bench.codecs.nn.sensevoice import SenseVoice
from bench.codecs.nn.spectral import SpectralDecoder, SpectralEncoder
from bench.codecs.nn.transformer import QueryAggregator, Transformer
from bench.codecs.nn.vq import ResidualVQ
from bench.errors import Unavailable, UserError
from bench.needs import Need, weights

SAMPLE_RATE = 16000
HOP_LENGTH = 1280
BASE_FRAME_RATE = SAMPLE_RATE / HOP_LENGTH
MAX_DURATION = 8
STRIDES = (4, 4, 5, 8, 2)  # of the released encoder; the decoder has them reversed
SEMANTIC_DOWNSAMPLE = 1.33333  # recogniser frames to base frames; the released digits, as they decide how many frames there are
NUM_CEPSTRA = 13

INFO = CodecInfo(
    kind="dynamic",
    title="FlexiCodec",
    licence="Apache-2.0 (code and tiny weights); the released weights and those of SenseVoice-small have their own terms",
    citation="""@inproceedings{li2026flexicodec,
  title     = {{FlexiCodec}: A Dynamic Neural Audio Codec for Low Frame Rates},
  author    = {Li, Jiaqi and Qian, Yao and Hu, Yuxuan and Zhang, Leying and Wang, Xiaofei and Lu, Heng and Thakker, Manthan
               and Li, Jinyu and Zhao, Sheng and Wu, Zhizheng},
  booktitle = {ICLR},
  year      = {2026},
  note      = {arXiv:2510.00981},
}""",
    url="https://flexicodec.github.io",
)
VERSION = 1


# --- the network --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TransformerSizes:
    width: int
    hidden: int
    num_heads: int
    num_layers: int


@dataclass(frozen=True)
class Sizes:
    """Sizes of what lies between the encoders and the decoder; the defaults are the released ones.

    semantic_dim  of the recogniser's features
    latent_dim    of the acoustic encoder's features and of the decoder's input
    aggregator    one for each stream: merges the frames of a group
    unmerger      runs over the repeated frames before the decoder
    """

    semantic_dim: int = 512
    latent_dim: int = 512
    fsq_levels: tuple[int, ...] = (8, 8, 8, 8, 8)
    rvq_codebooks: int = 24
    codebook_size: int = 4096
    codebook_dim: int = 8
    convnext_width: int = 768
    convnext_hidden: int = 2048
    convnext_blocks: int = 4
    aggregator: TransformerSizes = TransformerSizes(512, 2048, 8, 6)
    unmerger: TransformerSizes = TransformerSizes(512, 2048, 8, 32)


@dataclass(frozen=True)
class Merged:
    """Quantised groups of frames.

    features          float32 [B, latent_dim, G], what the decoder receives
    tokens            int64 [B, n_q, G], the semantic one first
    semantic          float32 [B, latent_dim, G], the share of `features` that comes from the semantic token
    semantic_target   float32 [B, semantic_dim, G], the merged recogniser features before quantisation
    commitment_loss, codebook_loss   float32 [B], of the residual VQ
    """

    features: Tensor
    tokens: Tensor
    semantic: Tensor
    semantic_target: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


class _Acoustic(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = ResidualVQ(sizes.latent_dim, sizes.rvq_codebooks, sizes.codebook_size, sizes.codebook_dim)
        self.decoder = decoder


class _SemanticVQ(nn.Module):
    def __init__(self, dim: int, sizes: Sizes) -> None:
        super().__init__()
        self.fsq = FSQ(dim, sizes.fsq_levels, bound="paper")


class Network(nn.Module):
    """The released network around four parts that may be exchanged.

    front_end       audio [B, T] -> [B, F', E]; without parameters
    semantic_model  [B, F', E] -> [B, F', semantic_dim], SEMANTIC_DOWNSAMPLE times 12.5 frames a second; frozen
    encoder         audio [B, T], T a multiple of hop_length -> [B, latent_dim, T / hop_length]
    decoder         [B, latent_dim, F] -> audio [B, T]
    hop_length      samples a base frame; another than the released one makes a fixed-rate twin
    """

    def __init__(
        self,
        front_end: Callable[[Tensor], Tensor],
        semantic_model: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        sizes: Sizes,
        hop_length: int = HOP_LENGTH,
    ) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.downsample = SEMANTIC_DOWNSAMPLE * hop_length / HOP_LENGTH
        self.min_samples = 400 + (math.ceil(self.downsample) - 1) * 6 * 160  # of fewer the filter bank makes no base frame
        self.front_end = front_end
        self.semantic_model = semantic_model.requires_grad_(False)
        self.dac = _Acoustic(encoder, decoder, sizes)
        self.codebook_sizes = (math.prod(sizes.fsq_levels), *[sizes.codebook_size] * sizes.rvq_codebooks)

        self.semantic_aggregator = QueryAggregator(sizes.semantic_dim, **vars(sizes.aggregator))
        self.acoustic_aggregator = QueryAggregator(sizes.latent_dim, **vars(sizes.aggregator))
        width = sizes.convnext_width
        self.convnext_encoder = nn.Sequential(WNConv1d(sizes.semantic_dim, width, 1), *_convnext(sizes))
        self.convnext_decoder = nn.Sequential(*_convnext(sizes), WNConv1d(width, sizes.latent_dim, 1))
        self.semantic_vq = _SemanticVQ(width, sizes)
        self.bottleneck_transformer = Transformer(sizes.latent_dim, **vars(sizes.unmerger))
        # In every released file, and without effect: the released configuration does not normalise the recogniser's features.
        self.register_buffer("semantic_mean", torch.zeros(1))
        self.register_buffer("semantic_std", torch.ones(1))

    def analyse(self, audio: Tensor, filter_bank: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Semantic [B, semantic_dim, F] and acoustic [B, latent_dim, F] features, one every `hop_length`, of `audio` [B, T], T >= 1.

        filter_bank   of `audio`, where the caller has it already
        """
        acoustic = self.dac.encoder(F.pad(audio, (0, -audio.shape[-1] % self.hop_length)))
        with torch.no_grad():
            semantic = self.at_base_rate(self.semantic_model(self.filter_bank(audio) if filter_bank is None else filter_bank))
        num_frames = min(semantic.shape[-1], acoustic.shape[-1])
        return semantic[..., :num_frames], acoustic[..., :num_frames]

    def filter_bank(self, audio: Tensor) -> Tensor:
        """The front end's features of `audio` [B, T]; short audio is padded until it makes a base frame."""
        return self.front_end(F.pad(audio, (0, max(0, self.min_samples - audio.shape[-1]))))

    def at_base_rate(self, features: Tensor) -> Tensor:
        """Features [B, F', C] at the recogniser's rate, as [B, C, F] at one every `hop_length`."""
        return F.interpolate(features.mT, int(features.shape[1] / self.downsample), mode="linear")

    def quantise(self, semantic: Tensor, acoustic: Tensor, durations: Tensor, n_q: int | Tensor) -> Merged:
        """Merges and quantises the features of `analyse`.

        durations  int64 [B, G], frames of each group; a row sums to F, and an item of fewer groups ends in zeros
        n_q        codebooks in use, the semantic one included: one number, or int64 [B]
        """
        is_group = (durations > 0)[:, None]
        target = self.semantic_aggregator(semantic, durations)
        fsq = self.semantic_vq.fsq(_through(self.convnext_encoder, target, is_group))
        decoded = _through(self.convnext_decoder, fsq.features, is_group)
        rvq = self.dac.quantizer(self.acoustic_aggregator(acoustic, durations) - decoded, n_q - 1)
        tokens = torch.cat([fsq.tokens, rvq.tokens], dim=1)
        return Merged(decoded + rvq.features, tokens, decoded, target, rvq.commitment_loss, rvq.codebook_loss)

    def dequantise(self, tokens: Tensor) -> Tensor:
        """float32 [B, latent_dim, G] of `tokens` int64 [B, n_q, G]."""
        features = self.convnext_decoder(self.semantic_vq.fsq.decode(tokens[:, :1]))
        return features + self.dac.quantizer.decode(tokens[:, 1:]) if tokens.shape[1] > 1 else features

    def synthesise(self, features: Tensor, durations: Tensor) -> Tensor:
        """Audio [B, about F * hop_length] of `features` [B, latent_dim, G], which last `durations` int64 [B, G]."""
        return self.dac.decoder(self.bottleneck_transformer(expand(features, durations)))

    def forward(self, audio: Tensor, threshold: float, n_q: int | Tensor) -> tuple[Tensor, Merged]:
        """One training pass over a batch of equal length: the decoded audio [B, T], and what lies between."""
        semantic, acoustic = self.analyse(audio)
        groups = [greedy_merge(item.T.float(), threshold, MAX_DURATION) for item in semantic]
        durations = pad_sequence(groups, batch_first=True)
        merged = self.quantise(semantic, acoustic, durations, n_q)
        return _fit_length(self.synthesise(merged.features, durations), audio.shape[-1]), merged


def _convnext(sizes: Sizes) -> list[ConvNeXtBlock]:
    return [ConvNeXtBlock(sizes.convnext_width, sizes.convnext_hidden) for _ in range(sizes.convnext_blocks)]


def _through(layers: nn.Sequential, x: Tensor, is_group: Tensor) -> Tensor:
    """`layers` over `x` [B, C, G]; what is no group is zero in front of each, as if an item of fewer groups were alone."""
    for layer in layers:
        x = layer(x * is_group)
    return x * is_group


def _fit_length(audio: Tensor, num_samples: int) -> Tensor:
    return F.pad(audio, (0, max(0, num_samples - audio.shape[-1])))[..., :num_samples]


# --- the codec ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latent:
    """Features at the base rate (12.5 Hz) of audio `num_samples` long.

    semantic   float32 [semantic_dim, F], of the recogniser
    acoustic   float32 [latent_dim, F]
    cepstra    float32 [13, F], mel-frequency cepstra: the control that the recogniser's features are compared with
    """

    semantic: Tensor
    acoustic: Tensor
    cepstra: Tensor
    num_samples: int


class FlexiCodec:
    """A loaded model. `analyse`, `encode`, `decode` and `tune` are described in bench/codec.py."""

    sample_rate = SAMPLE_RATE

    def __init__(self, network: Network, weights_sha256: str, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.hop_length = network.hop_length
        self.device = device
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.weights_sha256 = weights_sha256

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Latent:
        checked = check_audio(audio).to(self.device)[None]
        filter_bank = self.network.filter_bank(checked)
        semantic, acoustic = self.network.analyse(checked, filter_bank)
        cepstra = self.network.at_base_rate(mfcc(filter_bank))[0, :, : semantic.shape[-1]]
        return Latent(semantic[0], acoustic[0], cepstra, len(audio))

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        sizes = self.network.codebook_sizes
        _check_n_q(point.n_q, len(sizes))
        durations = self._durations(latent, point)
        merged = self.network.quantise(latent.semantic[None], latent.acoustic[None], durations[None], point.n_q)
        sent = (None, 1) if point.options.get("merging") == "none" else (durations.cpu(), MAX_DURATION)
        return Encoded((Stream(merged.tokens[0].cpu(), sizes[: point.n_q], *sent),), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        stream = only_stream(encoded, self.network.codebook_sizes, MAX_DURATION)
        durations = torch.ones(stream.num_frames, dtype=torch.int64) if stream.durations is None else stream.durations
        # the recogniser may end 2 frames before the audio
        check_length(int(durations.sum()), encoded.num_samples, self.hop_length, fewer=2)
        features = self.network.dequantise(stream.tokens[None].to(self.device))
        audio = self.network.synthesise(features, durations[None].to(self.device))[0]
        return _fit_length(audio, encoded.num_samples).cpu()

    def tune(self, latents: Iterable[Latent], point: OperatingPoint) -> OperatingPoint:
        """`point` with the threshold at which all `latents` together have the mean frame rate nearest to `target_frame_rate`."""
        similarities, num_samples = [], 0
        for latent in latents:
            similarities.append(neighbour_similarity(_compared(latent, point)))
            num_samples += latent.num_samples
        num_groups = round(float(point.options["target_frame_rate"]) * num_samples / SAMPLE_RATE)
        threshold = solve_threshold(similarities, num_groups, MAX_DURATION)
        return replace(point, options={**point.options, "threshold": threshold})

    def _merged_audio(self, latent: Latent, durations: Tensor, n_q: int) -> Tensor:
        groups = durations[None].to(self.device)
        merged = self.network.quantise(latent.semantic[None], latent.acoustic[None], groups, n_q)
        return self.network.synthesise(merged.features, groups)[0]

    def _durations(self, latent: Latent, point: OperatingPoint) -> Tensor:
        features, base_rate = _compared(latent, point), SAMPLE_RATE / self.hop_length
        if point.options.get("merging") == "none":
            if abs(point.frame_rate - base_rate) > 0.01:
                raise ValueError(f"point '{point.name}': the checkpoint's frames are {base_rate:.4g} Hz")
            return torch.ones(len(features), dtype=torch.int64, device=features.device)
        if "scheduler" in point.options:
            groups = num_segments_for(len(features), point.frame_rate, base_rate, MAX_DURATION)
            scheduler = str(point.options["scheduler"])
            start = CONTROLS["schedfr" if scheduler == ORACLE else scheduler](features, groups, int(point.options.get("seed", 0))).cpu()
            if scheduler == ORACLE:
                start = searched(start, lambda durations: self._merged_audio(latent, durations, point.n_q), MAX_DURATION)
            return start.to(features.device)
        if "threshold" not in point.options:
            raise ValueError(f"point '{point.name}' has a target_frame_rate but no threshold yet: tune() finds it")
        return greedy_merge(features, float(point.options["threshold"]), MAX_DURATION)


def mfcc(filter_bank: Tensor) -> Tensor:
    """Mel-frequency cepstra [B, F, 13] of stacked filter banks [B, F, 560]: the DCT-II of the middle one of each stack's 7 frames."""
    bands = torch.arange(MEL_BINS, device=filter_bank.device)
    basis = (torch.pi / MEL_BINS * torch.outer(bands + 0.5, bands[:NUM_CEPSTRA])).cos()
    return filter_bank[..., 3 * MEL_BINS : 4 * MEL_BINS] @ basis


# --- operating points ---------------------------------------------------------------------------------------------------------

# Threshold to mean frame rate on LibriSpeech, as published.
PUBLISHED_RATES = {0.7: 3.0, 0.75: 3.6, 0.8: 4.5, 0.867: 6.25, 0.9: 7.9, 0.91: 8.3, 1.0: 12.5}

# Controls that ignore the threshold and meet the rate in every utterance; each takes features [F, D], the groups wanted, and a seed.
CONTROLS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = by_rate(MAX_DURATION)
NUM_CODEBOOKS = 1 + Sizes.rvq_codebooks


def _compared(latent: Latent, point: OperatingPoint) -> Tensor:
    """The features [F, D] whose similarity decides what is merged."""
    return (latent.cepstra if point.options.get("similarity") == "mfcc" else latent.semantic).T


def _published_rate(threshold: float) -> float:
    """Hz, on straight lines between the published rates; the lowest of them below the lowest threshold."""
    return float(np.interp(threshold, list(PUBLISHED_RATES), list(PUBLISHED_RATES.values())))


def _check_n_q(n_q: float, num_codebooks: int) -> None:
    if n_q != int(n_q) or not 1 <= n_q <= num_codebooks:
        raise ValueError(f"n_q must be a whole number from 1 to {num_codebooks}, got {n_q:g}")


class PointSettings(Settings):
    n_q: Number = 8
    threshold: Number | None = None
    target_frame_rate: Number | None = None
    frame_rate: Number | None = None
    scheduler: str | None = None
    seed: Number | None = None
    similarity: str | None = None

    @model_validator(mode="after")
    def _fit(self) -> PointSettings:
        _check_n_q(self.n_q, NUM_CODEBOOKS)
        if len(self.given("threshold", "target_frame_rate", "frame_rate")) != 1:
            raise ValueError("give one of threshold, target_frame_rate, frame_rate")
        aims = self.target_frame_rate is not None
        if self.scheduler is not None and (self.scheduler not in (*CONTROLS, ORACLE) or not aims):
            raise ValueError("scheduler: needs target_frame_rate, and is one of " + ", ".join(sorted((*CONTROLS, ORACLE))))
        if self.similarity is not None and (self.similarity != "mfcc" or not aims or self.scheduler is not None):
            raise ValueError("similarity: is mfcc, with a target_frame_rate and no scheduler")
        if self.seed is not None and self.scheduler != "random":
            raise ValueError("seed: only the scheduler 'random' has one")
        if self.frame_rate is not None and not 0 < self.frame_rate <= BASE_FRAME_RATE:
            raise ValueError(f"frame_rate must be above 0 and up to {BASE_FRAME_RATE:g} Hz, got {self.frame_rate:g}")
        if self.threshold is not None and not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold is a cosine, -1 to 1, got {self.threshold:g}")
        lowest = BASE_FRAME_RATE / MAX_DURATION
        if self.target_frame_rate is not None and not lowest <= self.target_frame_rate <= BASE_FRAME_RATE:
            raise ValueError(f"target_frame_rate must be {lowest:g} to {BASE_FRAME_RATE:g} Hz, got {self.target_frame_rate:g}")
        return self


def point(**settings: float | str) -> OperatingPoint:
    """The point of a `threshold`, or of a `target_frame_rate` (Hz) that `tune` finds the threshold for, with `n_q` codebooks (8).

    With a `scheduler` (a control: one of CONTROLS, or the oracle) the target is met exactly, without a threshold; `seed` is for random.
    With `similarity` mfcc, another control, cepstra are compared in place of the recogniser's features. A `frame_rate` merges nothing
    and sends no durations: it is the checkpoint's own, 12.5 Hz or that of a fixed-rate twin.
    """
    read = read_settings(PointSettings, settings)
    n_q = int(read.n_q)
    if read.frame_rate is not None:
        return OperatingPoint(f"fixed{read.frame_rate:.3g}hz_q{n_q}", read.frame_rate, n_q, {"merging": "none"})
    if read.threshold is not None:
        options = {"threshold": read.threshold}
        return OperatingPoint(f"threshold{read.threshold:g}_q{n_q}", _published_rate(read.threshold), n_q, options)
    assert read.target_frame_rate is not None
    rate = read.target_frame_rate
    if read.scheduler is None:
        compared = {} if read.similarity is None else {"similarity": read.similarity}
        return OperatingPoint(f"{read.similarity or 'target'}{rate:g}hz_q{n_q}", rate, n_q, {"target_frame_rate": rate, **compared})
    seed = {} if read.seed is None else {"seed": int(read.seed)}
    name = f"{read.scheduler}{seed.get('seed', '')}_{rate:g}hz_q{n_q}"
    return OperatingPoint(name, rate, n_q, {"scheduler": read.scheduler, **seed})


POINTS: Mapping[str, OperatingPoint] = {
    each.name: each
    for each in (
        replace(point(threshold=threshold, n_q=n_q), name=f"{rate:g}hz_q{n_q}")
        for rate, threshold in ((12.5, 1.0), (8.3, 0.91), (6.25, 0.867))
        for n_q in (8, 1)
    )
}


# --- checkpoints --------------------------------------------------------------------------------------------------------------

RELEASED = "12hz_v1_half"
HOW_TO_GET_RELEASED = (
    "the model hub's jiaqili3/flexicodec has 12hz_v1_half.safetensors, FunAudioLLM/SenseVoiceSmall has model.pt and am.mvn: put the three "
    "in one folder and give `checkpoint: /path/to/12hz_v1_half.safetensors`"
)
ASR_PREFIX = "semantic_model."


def needs(checkpoint: str | None) -> list[Need]:
    name = checkpoint or "tiny"
    path = find(name, "flexicodec")
    how = HOW_TO_GET_RELEASED if name == RELEASED else how_to_get(name)
    found = [weights("flexicodec", name, how=how)]
    if path is not None:
        for file in _needed_beside(path):
            found.append(weights("flexicodec", str(path.parent / file), name=f"SenseVoiceSmall {file}", how=HOW_TO_GET_RELEASED))
    return found


def _needed_beside(path: Path) -> list[str]:
    """Files of the recogniser that a checkpoint needs and does not hold itself; its tensors are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names, is_ours = list(file.keys()), "config" in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file: {error}") from None
    if is_ours:
        return []
    return ["am.mvn"] if holds_recogniser(names) else ["am.mvn", "model.pt"]


def holds_recogniser(names: Iterable[str]) -> bool:
    return any(name.startswith(ASR_PREFIX) for name in names)


def load(checkpoint: str | None, device: torch.device) -> FlexiCodec:
    """`tiny` (the default), or whatever bench/checkpoint.py resolves; a file tells by its metadata whether it is ours or released."""
    name = checkpoint or "tiny"
    if name == RELEASED and find(name, "flexicodec") is None:
        raise Unavailable(f"codec 'flexicodec': the released weights are not on this machine; {HOW_TO_GET_RELEASED}")
    path = resolve(name, "flexicodec")
    tensors, metadata = load_safetensors(path)
    if "config" not in metadata:
        return load_official(path, device=device)
    config = config_of(metadata, path)
    with named_config(path):
        network = network_of(config)
    load_strictly(network, tensors, path)
    return FlexiCodec(network, sha256(path), device)


def network_of(config: Mapping[str, Any]) -> Network:
    """The network that a checkpoint's `config` describes: a tiny one, or a fixed-rate twin of the released one."""
    if "backbone" in config:
        return tiny_network(config)
    front_end = FilterBank(torch.tensor(config["cmvn"]["shift"]), torch.tensor(config["cmvn"]["scale"]))
    with torch.device("meta"):
        network = released_network(front_end, config["strides"], config["fsq_levels"])
    return network.to_empty(device="cpu")


def tiny_network(config: Mapping[str, Any]) -> Network:
    """A network on the spectral backbone, of the sizes that the checkpoint's own `config` gives.

    backbone        of SpectralEncoder and SpectralDecoder: width, hidden, encoder_blocks, decoder_blocks, n_fft, hop_length, stride
    semantic_model  of SenseVoice, by its argument names
    cmvn            {"shift": [560 numbers], "scale": [560 numbers]}, of the filter bank
    sizes           of `Sizes`
    """
    sizes = Sizes(
        **{
            **config["sizes"],
            "fsq_levels": tuple(config["sizes"]["fsq_levels"]),
            "aggregator": TransformerSizes(**config["sizes"]["aggregator"]),
            "unmerger": TransformerSizes(**config["sizes"]["unmerger"]),
        }
    )
    backbone = config["backbone"]
    stft = {"latent_dim": sizes.latent_dim, **{name: backbone[name] for name in ("n_fft", "hop_length", "stride")}}
    return Network(
        FilterBank(torch.tensor(config["cmvn"]["shift"]), torch.tensor(config["cmvn"]["scale"])),
        SenseVoice(**config["semantic_model"]),
        SpectralEncoder(backbone["width"], backbone["hidden"], backbone["encoder_blocks"], **stft),
        SpectralDecoder(backbone["width"], backbone["hidden"], backbone["decoder_blocks"], **stft),
        sizes,
        backbone["hop_length"] * backbone["stride"],
    )


def load_official(
    path: Path | str, asr_path: Path | str | None = None, cmvn_path: Path | str | None = None, device: torch.device | str = "cpu"
) -> FlexiCodec:
    """The codec of the released safetensors file; every tensor must be there, and no other but those of training (`repa_mlp.`).

    asr_path   SenseVoice-small's model.pt (or safetensors), where `path` holds no recogniser; `model.pt` beside `path` by default
    cmvn_path  SenseVoice-small's am.mvn; the one beside `path` by default
    """
    path = _present(Path(path))
    cmvn = _present(Path(cmvn_path) if cmvn_path else path.parent / "am.mvn")
    files = [path, cmvn]
    tensors = {name: tensor for name, tensor in load_safetensors(path)[0].items() if not name.startswith("repa_mlp.")}
    if not holds_recogniser(tensors):
        asr = _present(Path(asr_path) if asr_path else path.parent / "model.pt")
        files.append(asr)
        tensors |= {ASR_PREFIX + name: tensor for name, tensor in _asr_tensors(asr).items()}

    front_end = FilterBank(*read_cmvn(cmvn))
    with torch.device("meta"):  # drawing 450 million random numbers, to overwrite them, takes seconds
        network = released_network(front_end)
    load_strictly(network.to_empty(device="cpu"), tensors, path)
    digest = hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()
    return FlexiCodec(network, digest, torch.device(device))


def released_network(
    front_end: Callable[[Tensor], Tensor], strides: Sequence[int] = STRIDES, fsq_levels: Sequence[int] = Sizes.fsq_levels
) -> Network:
    """The network of the released sizes; other `strides` and `fsq_levels` make a fixed-rate twin of equal total bits."""
    sizes = Sizes(fsq_levels=tuple(fsq_levels))
    encoder, decoder = DACEncoder(32, strides, sizes.latent_dim), DACDecoder(sizes.latent_dim, 1536, strides[::-1])
    return Network(front_end, SenseVoice(), encoder, decoder, sizes, math.prod(strides))


def _present(path: Path) -> Path:
    if not path.is_file():
        raise Unavailable(f"codec 'flexicodec': {path} is not there; {HOW_TO_GET_RELEASED}")
    return path


def _asr_tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_safetensors(path)[0]
    content = load_torch(path)
    return content.get("state_dict", content)
