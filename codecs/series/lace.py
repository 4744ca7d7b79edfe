"""LACE (Trachu et al., 2026, arXiv 2609.17509) around our codecs with residual quantisers: every codebook has segments of its own.

What is left for a codebook (a layer) is cut by itself, the mean of each segment is quantised, repeated over its frames and taken away; the
next layer sees the rest, with what this layer's merging and its quantising missed. The decoder adds the layers up on the frame grid.
As in the paper: three segmenters, all with at most `max_duration` frames a segment (U, 4), whose log2(U) bits each layer pays for itself:
- `dp`: the floor(F * frame_rate / base rate) segments of least squared error to their means (CodecSlime's, as LACE reads it);
- `cosine`: a boundary where neighbouring frames are no more similar than a threshold (FlexiCodec's), one for all layers;
- `density`: clusters around density peaks (VARSTok's, by LACE's formulas), one threshold for all layers.
`layers: own` is LACE, `shared` its control: one segmentation, of the encoder's output, whose durations are sent once. `aligned` is the
union alignment for language models: all layers are split wherever one of them is, so that one list of durations serves all, with the same
audio. `anchor` is the layer up to which new boundaries are free: later ones choose among those. `uniform` cuts evenly and sends no
durations: with it, or with fewer codebooks of the base codec, LACE is held at equal bits.
What the text leaves open is read so: durations of even segments cost nothing, here as everywhere; `cosine` too has segments of at most U
frames, and under an anchor a full one ends at the last boundary that it may; a frame without a denser one is F frames away from it, and
clusters grow to the right first, as in VARSTok's code. How clusters keep to an anchor is not told: `density` has none.
Not here: the paper fine-tunes its codecs with the segmenter inside, 80,000 steps; its code (ESPnet3's) and checkpoints were not to be
had. Weights here are those of the base codec as it was trained, so the paper's table is not reproduced. Around TFC-tiny (8 codebooks) own
segments beat shared ones at equal bits by little at 2.3 to 2.9 kbps and lose at 4.8, and fewer codebooks beat both: suites/tiny_lace.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from bench.codec import Codec, CodecInfo, CodecModule, Encoded, OperatingPoint, Stream, check_audio
from bench.codecs import encodec_24k, tfc
from bench.codecs.bases.received import check_codebooks, check_length
from bench.codecs.bases.residual import ResidualCodec
from bench.codecs.bases.settings import Number, Settings, Whole, read_settings
from bench.codecs.nn.schedule import density_peaks, group_within, neighbour_similarity, schedfr, uniform
from bench.codecs.nn.segment import expand, merge
from bench.codecs.series.dac import CODECS as DAC
from bench.errors import unknown
from bench.needs import Need

MAX_DURATION = 4
LONGEST_DURATION = 64
BY_RATE, BY_THRESHOLD = ("dp", "uniform"), ("cosine", "density")
LAYERS = ("own", "shared", "aligned")
LOWEST_THRESHOLD = -10.0  # of density, whose scores of far peaks are beyond 1; a cosine is -1 at least
_TUNING_STEPS = 16  # halvings of the range of thresholds

_CITATION = """@article{trachu2026lace,
  title   = {{LACE}: Layer-Wise Compression for Dynamic Frame Rate Codecs},
  author  = {Trachu, Thanapat and Cornell, Samuele and Chen, William and Watanabe, Shinji},
  journal = {arXiv:2609.17509},
  year    = {2026},
}"""


# --- what it needs of a base codec ----------------------------------------------------------------------------------------------


class Base(Protocol):
    """A loaded codec with a residual quantiser, taken apart; features are float32 [D, F] at its frame rate."""

    sample_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int

    def features_of(self, audio: Tensor) -> Tensor:
        """Of `audio` float32 [T]."""
        ...

    def quantise(self, layer: int, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens int64 [K] of `frames` [D, K], and what is taken away for them, [D, K]."""
        ...

    def vectors_of(self, layer: int, tokens: Tensor) -> Tensor:
        """[D, K] of tokens int64 [K]."""
        ...

    def check_frames(self, num_frames: int, num_samples: int) -> None:
        """ValueError where the codec has another number of frames for so many samples."""
        ...

    def audio_of(self, features: Tensor) -> Tensor:
        """float32 [T'], about F * hop_length long."""
        ...


class _Transformers:
    """What the models of transformers have in common."""

    def __init__(self, codec: ResidualCodec) -> None:
        self.model, self.hop_length, self.sample_rate = codec.model, codec.hop_length, codec.sample_rate
        self.num_codebooks, self.codebook_size = codec.num_codebooks, codec.codebook_size

    def check_frames(self, num_frames: int, num_samples: int) -> None:
        check_length(num_frames, num_samples, self.hop_length, fewer=1, more=1)

    def audio_of(self, features: Tensor) -> Tensor:
        return self.model.decoder(features[None]).flatten()


class DACBase(_Transformers):
    def features_of(self, audio: Tensor) -> Tensor:
        return self.model.encoder(F.pad(audio, (0, -len(audio) % self.hop_length))[None, None])[0]

    def quantise(self, layer: int, frames: Tensor) -> tuple[Tensor, Tensor]:
        vectors, _, _, tokens, _ = self.model.quantizer.quantizers[layer](frames[None])
        return tokens[0], vectors[0]

    def vectors_of(self, layer: int, tokens: Tensor) -> Tensor:
        quantizer = self.model.quantizer.quantizers[layer]
        return quantizer.out_proj(quantizer.codebook(tokens[None]).mT)[0]


class EnCodecBase(_Transformers):
    def features_of(self, audio: Tensor) -> Tensor:
        return self.model.encoder(audio[None, None])[0]

    def quantise(self, layer: int, frames: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.model.quantizer.layers[layer].encode(frames[None])[0]
        return tokens, self.vectors_of(layer, tokens)

    def vectors_of(self, layer: int, tokens: Tensor) -> Tensor:
        return self.model.quantizer.layers[layer].decode(tokens[None])[0]


class TFCBase:
    """TFC at its finest rate, whose frames are as long as the shortest of its own; their number is a multiple of 4."""

    def __init__(self, codec: tfc.TFCCodec) -> None:
        config, self.network = codec.network.config, codec.network
        self.sample_rate, self.hop_length = codec.sample_rate, codec.hop_length
        self.num_codebooks, self.codebook_size = config.n_q, config.codebook_size

    def features_of(self, audio: Tensor) -> Tensor:
        return self.network.encode_levels(audio[None])[0][0]

    def quantise(self, layer: int, frames: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network.quantizer.quantizers[layer](frames[None])
        return found.tokens[0, 0], found.features[0]

    def vectors_of(self, layer: int, tokens: Tensor) -> Tensor:
        return self.network.quantizer.quantizers[layer].decode(tokens[None, None])[0]  # type: ignore[operator]

    def check_frames(self, num_frames: int, num_samples: int) -> None:
        coarsest = tfc.DURATIONS[-1]
        check_length(num_frames, num_samples, self.hop_length, more=coarsest - 1)
        if num_frames % coarsest:
            raise ValueError(f"{num_frames} base frames are no multiple of {coarsest}")

    def audio_of(self, features: Tensor) -> Tensor:
        span = torch.ones((1, features.shape[1]), dtype=torch.int64, device=features.device)
        return self.network.synthesise(features[None], span)[0]


# --- the codec ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latent:
    """The encoder's output float32 [D, F], of audio `num_samples` long."""

    features: Tensor
    num_samples: int


@dataclass(frozen=True)
class Layer:
    """Tokens int64 [K] of one codebook and the durations int64 [K] of its segments, in frames."""

    tokens: Tensor
    durations: Tensor


class LACE:
    """A loaded base codec between whose layers frames are merged; `analyse` to `tune` are described in bench/codec.py."""

    def __init__(self, base: Base, parameters: int, weights_sha256: str, device: torch.device) -> None:
        self.base, self.device = base, device
        self.sample_rate, self.hop_length = base.sample_rate, base.hop_length
        self.parameters, self.weights_sha256 = parameters, weights_sha256

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Latent:
        features = self.base.features_of(check_audio(audio).to(self.device))
        return Latent(_finite(features, "the encoder's output"), len(audio))

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        layers, _ = self.quantised(latent.features, point)
        kind, longest, sizes = str(point.options["layers"]), int(point.options["max_duration"]), (self.base.codebook_size,)
        if kind == "aligned":
            layers = aligned(layers)
        if kind == "own":
            streams = tuple(Stream(layer.tokens[None], sizes, layer.durations, longest) for layer in layers)
        else:
            streams = (Stream(torch.stack([layer.tokens for layer in layers]), sizes * len(layers), layers[0].durations, longest),)
        return Encoded(streams, latent.num_samples)

    @torch.inference_mode()
    def quantised(self, features: Tensor, point: OperatingPoint) -> tuple[list[Layer], Tensor]:
        """The layers of `features` [D, F] on the CPU, and what is left over of `features` after the last, [D, F]."""
        if not 1 <= point.n_q <= self.base.num_codebooks:
            raise ValueError(f"n_q must be 1 to {self.base.num_codebooks}, got {point.n_q}")
        options, residual, layers = point.options, features, list[Layer]()
        anchor = int(options.get("anchor", point.n_q))
        anchored = np.zeros(features.shape[1] + 1, bool)  # whether a boundary is in front of each frame, or behind the last
        durations = torch.zeros(0, dtype=torch.int64)
        for index in range(point.n_q):
            if index == 0 or options["layers"] != "shared":
                durations = self._cut(residual, point, anchored if index >= anchor else None)
                anchored[_boundaries(durations)] = True
            lasting = durations.to(self.device)
            tokens, vectors = self.base.quantise(index, merge(residual, lasting))
            residual = residual - expand(vectors, lasting)
            layers.append(Layer(tokens.cpu(), durations))
        return layers, _finite(residual, "what the codebooks leave over")

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        features = sum(self._vectors(index, layer) for index, layer in enumerate(self._layers(encoded)))
        assert isinstance(features, Tensor)
        audio = self.base.audio_of(features)
        return F.pad(audio, (0, encoded.num_samples - len(audio))).float().cpu()  # cuts where the pad is negative

    def _vectors(self, index: int, layer: Layer) -> Tensor:
        return expand(self.base.vectors_of(index, layer.tokens.to(self.device)), layer.durations.to(self.device))

    def _layers(self, encoded: Encoded) -> list[Layer]:
        """Of a stream that may be damaged, or another codec's: ValueError."""
        streams, layers = encoded.streams, list[Layer]()
        sizes = (self.base.codebook_size,) * self.base.num_codebooks
        if encoded.packets or not 1 <= len(streams) <= len(sizes):
            raise ValueError(f"the stream is not this codec's: {len(streams)} streams and {len(encoded.packets)} packets")
        for stream in streams:
            check_codebooks(stream, sizes if len(streams) == 1 else sizes[:1])
            if stream.durations is None or stream.nested or stream.max_duration > LONGEST_DURATION:
                raise ValueError("the stream is not this codec's: it has durations of another kind")
            self.base.check_frames(int(stream.durations.sum()), encoded.num_samples)
            layers += [Layer(tokens, stream.durations) for tokens in stream.tokens]
        if len({int(layer.durations.sum()) for layer in layers}) > 1:
            raise ValueError("the stream is damaged: its layers are not equally long")
        return layers

    def tune(self, latents: Iterable[Latent], point: OperatingPoint) -> OperatingPoint:
        """`point` with the threshold at which all `latents` have the mean segments a second, over layers, nearest to the target.

        Each step quantises anew, as what is left for a layer depends on the segments before it; so all latents are kept.
        """
        kept = list(latents)
        seconds = sum(latent.num_samples for latent in kept) / self.sample_rate
        wanted = float(point.options["target_frame_rate"]) * seconds * point.n_q
        low, high, best = LOWEST_THRESHOLD, 1.0, (math.inf, 1.0)
        for _ in range(_TUNING_STEPS):
            threshold = (low + high) / 2
            tried = replace(point, options={**point.options, "threshold": threshold})
            segments = sum(len(layer.tokens) for latent in kept for layer in self.quantised(latent.features, tried)[0])
            excess = segments - wanted
            best = min(best, (abs(excess), threshold))
            low, high = (low, threshold) if excess >= 0 else (threshold, high)
        return replace(point, options={**point.options, "threshold": best[1]})

    def _cut(self, residual: Tensor, point: OperatingPoint, allowed: np.ndarray | None) -> Tensor:
        """Durations int64 [K] of the segments of `residual` [D, F], on the CPU; boundaries only where `allowed` [F + 1] says."""
        frames, options = residual.T.cpu(), point.options
        segmenter, longest = str(options["segmenter"]), int(options["max_duration"])
        if segmenter in BY_RATE:
            segments = self._num_segments(len(frames), float(options["layer_frame_rate"]), longest)
            if segmenter == "uniform":
                return torch.from_numpy(uniform(len(frames), segments))
            return schedfr(frames, segments, longest, cost="squared", allowed=allowed)
        if "threshold" not in options:
            raise ValueError(f"point '{point.name}' has a target_frame_rate but no threshold yet: tune() finds it")
        threshold = float(options["threshold"])
        if segmenter == "cosine":
            return torch.from_numpy(group_within(neighbour_similarity(frames), threshold, longest, allowed))
        return density_peaks(frames, threshold, longest)

    def _num_segments(self, num_frames: int, frame_rate: float, longest: int) -> int:
        base_rate = self.sample_rate / self.hop_length
        if frame_rate > base_rate + 0.01:
            raise ValueError(f"this checkpoint has {base_rate:g} frames a second, fewer than {frame_rate:g}")
        return min(num_frames, max(-(-num_frames // longest), math.floor(num_frames * frame_rate / base_rate + 1e-6)))


def _finite(features: Tensor, what: str) -> Tensor:
    if not bool(torch.isfinite(features).all()):
        raise ValueError(f"{what} holds NaN or infinite values: are these the weights of a trained model?")
    return features


def aligned(layers: list[Layer]) -> list[Layer]:
    """The same layers, each split wherever one of them is: their durations are the same, and so are frames and audio."""
    cuts = torch.cat([layer.durations.cumsum(0) for layer in layers]).unique()  # sorted; the end of each segment
    durations = torch.diff(cuts, prepend=cuts.new_zeros(1))
    return [Layer(layer.tokens[torch.searchsorted(layer.durations.cumsum(0), cuts)], durations) for layer in layers]


def _boundaries(durations: Tensor) -> np.ndarray:
    """Frames in front of which a segment starts, and F."""
    return F.pad(durations.cumsum(0), (1, 0)).numpy()


# --- operating points ---------------------------------------------------------------------------------------------------------


class PointSettings(Settings):
    n_q: Whole = 8
    frame_rate: Number | None = None
    target_frame_rate: Number | None = None
    threshold: Number | None = None
    segmenter: str = "dp"
    layers: str = "own"
    anchor: Whole | None = None
    max_duration: Whole = MAX_DURATION

    @model_validator(mode="after")
    def _fit(self) -> PointSettings:
        if self.segmenter not in BY_RATE + BY_THRESHOLD:
            raise ValueError(unknown("segmenter", self.segmenter, BY_RATE + BY_THRESHOLD))
        if self.layers not in LAYERS:
            raise ValueError(unknown("layers", self.layers, LAYERS))
        if not 2 <= self.max_duration <= LONGEST_DURATION:
            raise ValueError(f"max_duration must be 2 to {LONGEST_DURATION}, got {self.max_duration}; without merging, take the base codec")
        how = ("frame_rate", "target_frame_rate") if self.segmenter in BY_RATE else ("threshold", "target_frame_rate")
        if len(self.given("frame_rate", "target_frame_rate", "threshold")) != 1 or not self.given(*how):
            raise ValueError(f"segmenter {self.segmenter}: give one of {how[0]} and {how[1]}")
        if self.threshold is not None and not LOWEST_THRESHOLD <= self.threshold <= 1:
            raise ValueError(f"threshold must be {LOWEST_THRESHOLD:g} to 1, got {self.threshold:g}")
        if self.segmenter == "uniform" and self.layers != "shared" and self.given("layers"):
            raise ValueError("layers: uniform segments are the same in every layer, so they are shared")
        if self.anchor is not None and (self.segmenter not in ("dp", "cosine") or self.layers == "shared"):
            raise ValueError("anchor: only the segmenters dp and cosine have one, where layers are own or aligned")
        if self.anchor is not None and not 1 <= self.anchor <= self.n_q:
            raise ValueError(f"anchor must be a layer, 1 to {self.n_q}, got {self.anchor}")
        return self

    @property
    def rate(self) -> float | None:
        """Segments a second in each layer; None where a threshold was given."""
        return self.frame_rate if self.target_frame_rate is None else self.target_frame_rate


def point_of(settings: Mapping[str, float | str], base_rate: float, num_codebooks: int) -> OperatingPoint:
    """The point of `settings` for a codec of at most `base_rate` frames a second and `num_codebooks`."""
    read = read_settings(PointSettings, settings)
    if not 1 <= read.n_q <= num_codebooks:
        raise ValueError(f"n_q must be 1 to {num_codebooks}, got {read.n_q}")
    if read.rate is not None and not base_rate / read.max_duration - 0.01 <= read.rate <= base_rate + 0.01:
        name = "frame_rate" if read.target_frame_rate is None else "target_frame_rate"
        lowest = base_rate / read.max_duration
        raise ValueError(f"{name} must be {lowest:g} to {base_rate:g} Hz with max_duration {read.max_duration}, got {read.rate:g}")
    layers = "shared" if read.segmenter == "uniform" else read.layers
    options: dict[str, float | str] = {"segmenter": read.segmenter, "layers": layers, "max_duration": read.max_duration}
    if read.rate is None:
        assert read.threshold is not None
        options["threshold"] = read.threshold
    else:
        options["layer_frame_rate" if read.segmenter in BY_RATE else "target_frame_rate"] = read.rate
    if read.anchor is not None:
        options["anchor"] = read.anchor
    parts = [
        f"{read.rate:.4g}hz" if read.rate is not None else f"threshold{read.threshold:g}",
        f"{read.n_q}q",
        *([read.segmenter] if read.segmenter != "dp" else []),
        *([layers] if layers != "own" and read.segmenter != "uniform" else []),
        *([f"anchor{read.anchor}"] if read.anchor is not None else []),
        *([f"max{read.max_duration}"] if read.max_duration != MAX_DURATION else []),
    ]
    times = read.n_q if layers == "own" else 1  # a stream each, whose frames add up as those of SNAC's
    return OperatingPoint("_".join(parts), times * (base_rate if read.rate is None else read.rate), read.n_q, options)


# --- the base codecs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LACEModule:
    """LACE around one codec: a `CodecModule`, whose checkpoints are those of that codec.

    base_rate, num_codebooks   Hz, frames of the base codec, and its codebooks; for TFC those of `tiny`
    """

    name: str
    module: CodecModule
    apart: Callable[[Any], Base]
    base_rate: float
    num_codebooks: int

    VERSION = 1

    @property
    def INFO(self) -> CodecInfo:  # noqa: N802 - the names of CodecModule
        base, url = self.module.INFO, "https://arxiv.org/abs/2609.17509"
        return CodecInfo("dynamic", f"LACE on {base.title}", base.licence, f"{_CITATION}\n\n{base.citation}", url)

    @property
    def POINTS(self) -> Mapping[str, OperatingPoint]:  # noqa: N802
        """The paper's, by their shares of the base rate: LACE and its controls at about equal bits, and one for language models."""
        chosen: tuple[tuple[float, dict[str, float | str]], ...] = (
            (0.3, {}),
            (0.36, {"layers": "shared"}),
            (0.36, {"segmenter": "uniform"}),
            (0.5, {"layers": "aligned", "anchor": min(2, self.num_codebooks)}),
        )
        points = [self.point(frame_rate=round(share * self.base_rate, 2), n_q=self.num_codebooks, **settings) for share, settings in chosen]
        return {point.name: point for point in points}

    def point(self, **settings: float | str) -> OperatingPoint:
        """The point of a `segmenter` (dp, cosine, density or uniform) with its rate, of `layers`, `n_q`, `anchor` and `max_duration`.

        The rate is segments a second in each layer: `frame_rate`, or for cosine and density a `threshold` or the `target_frame_rate` over
        all layers and data that `tune` finds one for. A point's own frame rate is that of all layers together where they have segments
        of their own; of a threshold, the most that it can be.
        """
        return point_of(settings, self.base_rate, self.num_codebooks)

    def needs(self, checkpoint: str | None) -> list[Need]:
        return self.module.needs(checkpoint)

    def load(self, checkpoint: str | None, device: torch.device) -> Codec:
        codec = self.module.load(checkpoint, device)
        return LACE(self.apart(codec), codec.parameters, codec.weights_sha256, device)


CODECS: Mapping[str, LACEModule] = {
    module.name: module
    for module in (
        *(LACEModule(f"lace_{name}", dac, DACBase, dac.sample_rate / dac.hop_length, dac.num_codebooks) for name, dac in DAC.items()),
        LACEModule("lace_encodec_24k", encodec_24k, EnCodecBase, 75.0, 32),
        LACEModule("lace_tfc", tfc, TFCBase, 80.0, 8),
    )
}
