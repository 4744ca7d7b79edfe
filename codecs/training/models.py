"""The networks that recipes train, each as one pass from audio to audio with the merging that its stage asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import checkpoint as checkpoints
from bench.codecs.nn.bigcodec import FSQ_LEVELS, BigCodec, Sizes
from bench.codecs.nn.segment import expand, merge
from bench.codecs.nn.spectral import SpectralCodec
from bench.codecs.nn.vq import sample_n_q
from bench.codecs.training.merging import DirichletSegments, Merger, ScheduledSegments, draw_ratios, generator
from bench.codecs.training.recipe import BigCodecModel, Cool, FlexiCodecModel, Melt, Ratios, Recipe, SpectralModel, TFCModel, Thresholds
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.codecs import flexicodec, tfc


@dataclass(frozen=True)
class Reconstruction:
    """Audio [B, T] of a pass, and the losses that arise within the network, unweighted, by their names in a recipe."""

    audio: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)


class Trainable(nn.Module):
    """A network with its training pass.

    network   what inference loads; anything beside it exists in training alone
    config    JSON that a checkpoint keeps, from which inference builds the network; "" where the file's tensors say enough
    """

    network: nn.Module
    config: str = ""

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        """One pass over `audio` [B, T]. `step` seeds and paces what is random; None does what inference does."""
        raise NotImplementedError

    def from_start(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The network's state out of the checkpoint that a stage starts from."""
        return tensors


class MergingCodec(Trainable):
    """Encoder, quantiser, decoder; segments of frames are averaged before the quantiser and repeated after it (CodecSlime's stages)."""

    network: SpectralCodec | BigCodec

    def __init__(self, model: SpectralModel | BigCodecModel, merger: Merger | None) -> None:
        super().__init__()
        self.merger = merger
        if isinstance(model, SpectralModel):
            self.network = SpectralCodec(model.model_dump())
            self.config = model.model_dump_json()
        else:
            sizes = Sizes(codebook_size=model.codebook_size, levels=tuple(model.levels), strides=tuple(model.strides))
            self.network = BigCodec(model.variant, sizes)
            if sizes.levels != FSQ_LEVELS:
                self.config = json.dumps({"family": model.family, "levels": model.levels})

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        latents = self.network.encoder(F.pad(audio, (0, -audio.shape[-1] % self.network.hop_length)))
        with torch.autocast(audio.device.type, enabled=False):
            latents = latents.float()
            durations = None if self.merger is None else self.merger.durations(latents.detach(), step)
            quantised = self.network.quantizer(latents if durations is None else merge(latents, durations))
            features = quantised.features if durations is None else expand(quantised.features, durations)
        decoded = self.network.decoder(features)[:, : audio.shape[-1]]
        return Reconstruction(decoded, {"commitment": quantised.commitment_loss.mean(), "codebook": quantised.codebook_loss.mean()})

    def from_start(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A spectral model widens to a larger stride: it starts by averaging neighbouring frames and repeating what comes out.

        A quantiser of other levels starts anew: only its two projections have another shape.
        """
        if not isinstance(self.network, SpectralCodec):
            return tensors
        widening = self.network.decoder.embed.out_features // len(tensors["decoder.embed.bias"])
        own = self.network.state_dict()
        other_levels = {name: own[name] for name in own if name.startswith("quantizer.") and own[name].shape != tensors[name].shape}
        return {
            **tensors,
            **other_levels,
            "encoder.project.weight": tensors["encoder.project.weight"].float().repeat(1, widening) / widening,
            "decoder.embed.weight": tensors["decoder.embed.weight"].repeat(widening, 1),
            "decoder.embed.bias": tensors["decoder.embed.bias"].repeat(widening),
        }


class TrainableTFC(Trainable):
    """TFC with random shares of the three rates, and codebook dropout."""

    network: tfc.TFC

    def __init__(self, model: TFCModel, ratios: Ratios, seed: int) -> None:
        super().__init__()
        from bench.codecs.tfc import TFC, Config

        self.ratios, self.seed = ratios, seed
        self.config = json.dumps(model.config)
        self.network = TFC(Config.from_json(self.config) if model.config else Config())

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        batch = len(audio)
        if step is None:
            passed = self.network(audio, [self.ratios.shares] * batch)
        else:
            random = generator(self.seed, step)
            n_q = sample_n_q(batch, self.network.config.n_q, self.ratios.codebook_dropout, random)
            passed = self.network(audio, draw_ratios(self.ratios, batch, random), n_q.to(audio.device))
        return Reconstruction(passed.audio, {"commitment": passed.commitment_loss.mean(), "codebook": passed.codebook_loss.mean()})

    def from_start(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Of a fixed-rate model of the tiny family, its encoder and decoder; the ladder of rates and the RVQ start anew."""
        if "quantizer.project_in.weight" not in tensors:
            return tensors
        kept = {name: tensor for name, tensor in tensors.items() if name.startswith(("encoder.", "decoder."))}
        return {**self.network.state_dict(), **kept}


class TrainableFlexiCodec(Trainable):
    """FlexiCodec with one random threshold a step; its projection for the REPA loss exists in training alone."""

    network: flexicodec.Network

    def __init__(self, model: FlexiCodecModel, thresholds: Thresholds, seed: int, folder: Path) -> None:
        super().__init__()
        from bench.codecs import flexicodec

        self.thresholds, self.seed = thresholds, seed
        self.network, self.config = flexicodec_network(model, folder)
        width = model.config.get("sizes", vars(flexicodec.Sizes()))["latent_dim"]
        self.repa_mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        from torch.nn.utils.rnn import pad_sequence

        from bench.codecs.flexicodec import MAX_DURATION
        from bench.codecs.nn.schedule import greedy_merge

        network, codebooks = self.network, len(self.network.codebook_sizes)
        threshold, n_q = self.thresholds.highest, torch.full((len(audio),), codebooks)
        if step is not None:
            random = generator(self.seed, step)
            threshold = random.uniform(self.thresholds.lowest, self.thresholds.highest)
            n_q = torch.from_numpy(random.integers(2, codebooks + 1, len(audio)))
            if random.random() < self.thresholds.semantic_only:
                n_q[:] = 1
            if random.random() < self.thresholds.unmerged:
                threshold = 1.0
        semantic, acoustic = network.analyse(audio)
        if threshold >= 1:
            durations = torch.ones(len(audio), semantic.shape[-1], dtype=torch.int64, device=audio.device)
        else:
            groups = [greedy_merge(item.T.float(), threshold, MAX_DURATION) for item in semantic]
            durations = pad_sequence(groups, batch_first=True)
        merged = network.quantise(semantic, acoustic, durations, n_q.to(audio.device))
        hidden = network.bottleneck_transformer(expand(merged.features, durations))
        decoded = network.dac.decoder(hidden)
        decoded = F.pad(decoded, (0, max(0, audio.shape[-1] - decoded.shape[-1])))[..., : audio.shape[-1]]
        # where the acoustic codebooks are bypassed, the decoder's input can only know what the recogniser heard
        target = semantic + acoustic * (n_q > 1).to(audio.device)[:, None, None]
        losses = {
            "commitment": merged.commitment_loss.mean(),
            "codebook": merged.codebook_loss.mean(),
            "distillation": F.mse_loss(merged.semantic, merged.semantic_target.detach()),
            "repa": F.mse_loss(self.repa_mlp(hidden.mT).mT, target),
        }
        return Reconstruction(decoded, losses)

    def from_start(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Of a fixed-rate model of the tiny family, what of its encoder and decoder has a place here; the rest starts anew.

        Another FlexiCodec is taken whole: what it makes of a base frame is stretched over a longer one, and dimensions that its semantic
        quantiser lacks count for nothing at first.
        """
        own = self.network.state_dict()
        if "quantizer.project_in.weight" not in tensors:
            return lengthened(tensors, own)
        parts = {f"dac.{name}": tensor for name, tensor in tensors.items() if name.startswith(("encoder.", "decoder."))}
        return own | {name: tensor for name, tensor in parts.items() if name in own and own[name].shape == tensor.shape}


def lengthened(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A FlexiCodec-tiny's tensors for a twin of longer base frames and more FSQ dimensions, whose state is `own`."""

    def other(name: str) -> bool:
        return name in own and name in tensors and own[name].shape != tensors[name].shape

    def stretch(rows: Tensor, like: Tensor) -> Tensor:
        """`rows` [S * W, C], one block of W for each hop of a base frame, on straight lines over as many hops as `like` [S' * W, C] has."""
        blocks = rows.float().unflatten(0, (-1, len(own["dac.decoder.embed_norm.bias"]))).flatten(1)
        return F.interpolate(blocks.T[None], len(like) * len(blocks) // len(rows), mode="linear")[0].T.reshape(like.shape)

    filled = dict(tensors)
    for name in ("dac.decoder.embed.weight", "dac.decoder.embed.bias"):
        if other(name):
            filled[name] = stretch(tensors[name], own[name])
    name = "dac.encoder.project.weight"
    if other(name):
        filled[name] = stretch(tensors[name].T, own[name].T).T * (tensors[name].shape[1] / own[name].shape[1])
    for name in ("project_in.weight", "project_in.bias", "project_out.weight"):
        name = f"semantic_vq.fsq.{name}"
        if other(name):
            grown = torch.zeros_like(own[name]) if "out" in name else own[name].clone()
            grown[tuple(slice(size) for size in tensors[name].shape)] = tensors[name].to(grown.dtype)
            filled[name] = grown
    return filled


def flexicodec_network(model: FlexiCodecModel, folder: Path) -> tuple[flexicodec.Network, str]:
    """The network with its recogniser filled in, and the `config` that a checkpoint keeps ("" for the released sizes)."""
    from bench.codecs import flexicodec
    from bench.codecs.nn.fbank import FilterBank, read_cmvn

    file = f"{model.recogniser}.safetensors"
    candidates = (folder / model.recogniser / file, checkpoints.SHIPPED / file, Path(model.recogniser))
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise UserError(f"model.recogniser: no file '{model.recogniser}', and no result of a recipe of that name in {folder}")
    if "backbone" not in model.config:
        if model.cmvn is None:
            raise UserError("model.cmvn: the released recogniser needs its am.mvn")
        shift, scale = read_cmvn(Path(model.cmvn))
        network = flexicodec.released_network(FilterBank(shift, scale), **model.config)
        content: Any = checkpoints.load_torch(path) if path.suffix == ".pt" else checkpoints.load_safetensors(path)[0]
        checkpoints.load_strictly(network.semantic_model, content.get("state_dict", content), path)
        cmvn = {"shift": shift.tolist(), "scale": scale.tolist()}
        return network, json.dumps({**model.config, "cmvn": cmvn}) if model.config else ""
    tensors, metadata = checkpoints.load_safetensors(path)
    recogniser = json.loads(metadata["config"])
    # a codec stops before the tp blocks
    config = {**model.config, "semantic_model": {**recogniser["semantic_model"], "num_tp_blocks": 0}, "cmvn": recogniser["cmvn"]}
    network = flexicodec.tiny_network(config)
    if flexicodec.holds_recogniser(tensors):
        tensors = {name.removeprefix(flexicodec.ASR_PREFIX): t for name, t in tensors.items() if name.startswith(flexicodec.ASR_PREFIX)}
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.tp_encoders.")}
    checkpoints.load_strictly(network.semantic_model, kept, path)
    return network, json.dumps(config)


def build(recipe: Recipe, folder: Path) -> Trainable:
    """The recipe's network, untrained; `folder` is where other recipes left their results."""
    model, merging = recipe.model, recipe.merging
    if isinstance(model, TFCModel):
        assert isinstance(merging, Ratios)
        return TrainableTFC(model, merging, recipe.seed)
    if isinstance(model, FlexiCodecModel):
        assert isinstance(merging, Thresholds)
        return TrainableFlexiCodec(model, merging, recipe.seed, folder)
    assert isinstance(model, SpectralModel | BigCodecModel)
    if isinstance(merging, Melt):
        return MergingCodec(model, DirichletSegments(merging, recipe.seed))
    return MergingCodec(model, ScheduledSegments(merging, recipe.seed) if isinstance(merging, Cool) else None)
