"""The Lightning module of every codec's recipe: a generator, discriminators where there are any, and validation with STOI and PESQ."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bench.codecs.nn.vq import ResidualVQ
from bench.codecs.training import discriminators, losses
from bench.codecs.training.data import AudioStore, Crops, crop_loader, split
from bench.codecs.training.models import Trainable, build
from bench.codecs.training.recipe import Optimiser, Recipe
from bench.errors import UserError

LOG_EVERY_STEPS = 50
CROPS_TO_ALIGN = 64


def learning_rate(optimiser: Optimiser, step: int) -> float:
    """Linear warm-up, then the recipe's curve down to `final_learning_rate` at the last step."""
    peak, final = optimiser.learning_rate, optimiser.final_learning_rate
    if step < optimiser.warmup_steps:
        return peak * (step + 1) / optimiser.warmup_steps
    if optimiser.schedule == "trapezoid":
        return peak + (final - peak) * max(0.0, 1 - (optimiser.steps - step) / (optimiser.steps * optimiser.decay_share))
    progress = min(1.0, (step - optimiser.warmup_steps) / max(1, optimiser.steps - optimiser.warmup_steps))
    if optimiser.schedule == "cosine":
        return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2
    if optimiser.schedule == "linear":
        return peak + (final - peak) * progress
    return peak * (final / peak) ** progress


def by_shape(module: torch.nn.Module) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """The matrices of its repeated blocks, which Muon is for, and all its other parameters."""
    named = list(module.named_parameters())
    matrices = [parameter for name, parameter in named if ".blocks." in name and parameter.ndim == 2 and parameter.requires_grad]
    chosen = {id(parameter) for parameter in matrices}
    return matrices, [parameter for _, parameter in named if id(parameter) not in chosen]


class Training(L.LightningModule):
    """What every training shares: resumable steps, the learning rate, one update.

    Optimisation is manual: with discriminators there are two optimisers, and `step` counts batches, not updates.
    """

    def __init__(self, recipe: Recipe, store: AudioStore, model: Trainable) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.store, self.model = recipe, store, model
        self.step = 0
        self.optimisers_of: list[slice] = []  # of each side
        for name in recipe.freeze:
            model.network.get_submodule(name).requires_grad_(False)
        self.training_clips, self.validation_clips = split(store, recipe.data.held_out)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["step"] = self.step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.step = checkpoint["step"]

    @property
    def sides(self) -> tuple[torch.nn.Module, ...]:
        """What is trained, each part by a loss of its own."""
        return (self.model,)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.recipe.optimiser
        if settings.muon_learning_rate and not hasattr(torch.optim, "Muon"):
            raise UserError(f"optimiser.muon_learning_rate needs torch 2.9 or later, this is {torch.__version__}")
        optimisers: list[torch.optim.Optimizer] = []
        self.optimisers_of = []
        for side in self.sides:
            first = len(optimisers)
            matrices, others = by_shape(side) if settings.muon_learning_rate else ([], list(side.parameters()))
            trained = [parameter for parameter in others if parameter.requires_grad]
            group = {"params": trained, "peak": settings.learning_rate}
            optimisers.append(torch.optim.AdamW([group], betas=settings.betas, weight_decay=settings.weight_decay))
            if matrices:
                group = {"params": matrices, "peak": settings.muon_learning_rate}
                optimisers.append(torch.optim.Muon([group], weight_decay=settings.weight_decay))
            self.optimisers_of.append(slice(first, len(optimisers)))
        return optimisers

    def update(self, side: int, loss: Tensor) -> Tensor:
        """One update of that side; returns the norm of its gradients before clipping."""
        settings, optimisers = self.recipe.optimiser, self.optimizers()
        chosen = optimisers[self.optimisers_of[side]] if isinstance(optimisers, list) else [optimisers]
        curve = learning_rate(settings, self.step) / settings.learning_rate
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * curve
            optimiser.zero_grad()
        self.manual_backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.sides[side].parameters(), settings.clip_norm)
        for optimiser in chosen:
            optimiser.step()
        return norm

    def finish_step(self, logged: Mapping[str, Tensor]) -> None:
        """Counts the step, and logs every so often."""
        self.step += 1
        if self.step % LOG_EVERY_STEPS == 0:
            self.log_dict({f"train/{name}": value.detach() for name, value in logged.items()})
            self.log("train/learning_rate", learning_rate(self.recipe.optimiser, self.step - 1))


@torch.no_grad()
def align_codebooks(model: Trainable, audio: Tensor) -> None:
    """Fits the residual VQ of `model` to what it is given for `audio` [B, T]."""
    given: dict[ResidualVQ, Tensor] = {}
    quantisers = [part for part in model.modules() if isinstance(part, ResidualVQ)]
    hooks = [part.register_forward_pre_hook(lambda part, inputs: given.update({part: inputs[0]})) for part in quantisers]
    model(audio, None)
    for hook in hooks:
        hook.remove()
    for quantiser, x in given.items():
        quantiser.align(x)


class CodecTraining(Training):
    """Trains a codec on crops; `folder` is where other recipes left their results."""

    def __init__(self, recipe: Recipe, store: AudioStore, folder: Path) -> None:
        super().__init__(recipe, store, build(recipe, folder))
        self.discriminators = None
        if recipe.losses.adversarial:
            makers = {"dac": discriminators.dac_discriminators, "bigcodec": discriminators.bigcodec_discriminators}
            self.discriminators = makers[recipe.losses.discriminators]()
        self.mel = losses.MelLoss(recipe.data.sample_rate, turns=recipe.losses.mel_turns)
        self.stft = losses.StftLoss() if recipe.losses.stft else None
        self.energy = losses.EnergyLoss(recipe.data.sample_rate) if recipe.losses.energy else None

    def on_fit_start(self) -> None:
        if self.recipe.align_codebooks and self.step == 0:
            crops = Crops(self.store, self.training_clips, self.recipe.data, self.recipe.seed, CROPS_TO_ALIGN)
            align_codebooks(self.model, torch.stack([crops[number] for number in range(CROPS_TO_ALIGN)]).to(self.device))

    @property
    def sides(self) -> tuple[torch.nn.Module, ...]:
        return (self.model, self.discriminators) if self.discriminators else (self.model,)

    def train_dataloader(self) -> DataLoader[Tensor]:
        data = self.recipe.data
        crops = Crops(self.store, self.training_clips, data, self.recipe.seed, self.recipe.optimiser.last_step * data.batch_size)
        return crop_loader(crops, data.batch_size, self.step, self.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(len(self.validation_clips)), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: Tensor, batch_index: int) -> None:
        passed = self.model(batch, self.step)
        logged: dict[str, Tensor] = {}
        if self.discriminators is not None:
            logged["discriminator"] = losses.discriminator_loss(self.discriminators(passed.audio.detach()), self.discriminators(batch))
            self.update(1, logged["discriminator"])

        weights = self.recipe.losses
        terms = {"mel": self.mel(passed.audio, batch, self.step), **passed.losses}
        if self.energy is not None:
            terms["energy"] = self.energy(passed.audio, batch)
        if self.stft is not None:
            terms["stft"] = self.stft(passed.audio, batch)
        if self.discriminators is not None:
            judged, target = self.discriminators(passed.audio), self.discriminators(batch)
            terms["adversarial"] = losses.adversarial_loss(judged)
            terms["feature_matching"] = losses.feature_matching_loss(judged, target)
        norm = self.update(0, torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum())
        self.finish_step({**logged, **terms, "gradient_norm": norm})

    def on_validation_epoch_start(self) -> None:
        self.scores: dict[str, list[float]] = {}

    def validation_step(self, clip: int, batch_index: int) -> None:
        reference = torch.from_numpy(self.store.audio(self.validation_clips[clip])).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            degraded = self.model(reference[None], None).audio[0]
            scores = {"mel": float(self.mel(degraded[None], reference[None]))}
        scores |= _quality(reference.cpu().numpy(), degraded.float().cpu().numpy(), self.store.sample_rate)
        for name, value in scores.items():
            self.scores.setdefault(name, []).append(value)

    def on_validation_epoch_end(self) -> None:
        # every device scores the same clips, so there is nothing to gather
        self.log_dict({f"validation/{name}": float(np.mean(values)) for name, values in self.scores.items()}, rank_zero_only=True)


def _quality(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> dict[str, float]:
    """STOI and PESQ of one clip; PESQ is absent where it finds no speech."""
    from pesq import NoUtterancesError, pesq
    from pystoi import stoi

    from bench import audio

    scores = {"stoi": float(stoi(reference, degraded, sample_rate))}
    wide = [audio.resample(signal, sample_rate, 16000) for signal in (reference, degraded)]
    with contextlib.suppress(NoUtterancesError):
        scores["pesq"] = float(pesq(16000, wide[0], wide[1], "wb"))
    return scores
