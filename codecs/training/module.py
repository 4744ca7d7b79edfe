"""The Lightning module of every codec's recipe: a generator, discriminators where there are any, and validation with STOI and PESQ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from bench.codecs.training import discriminators, losses
from bench.codecs.training.data import AudioStore, Crops, crop_loader, split
from bench.codecs.training.models import Trainable, build
from bench.codecs.training.quality import score
from bench.codecs.training.recipe import Optimiser, Recipe

LOG_EVERY_STEPS = 50


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


class Training(L.LightningModule):
    """What every training shares: resumable steps, the learning rate, the moving average of the weights, one update.

    Optimisation is manual: with discriminators there are two optimisers, and `step` counts batches, not updates.
    """

    def __init__(self, recipe: Recipe, store: AudioStore, model: Trainable) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.store, self.model = recipe, store, model
        self.step = 0
        for name in recipe.freeze:
            model.network.get_submodule(name).requires_grad_(False)
        decay = recipe.optimiser.average_decay
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)).requires_grad_(False) if decay else None
        self.training_clips, self.validation_clips = split(store, recipe.data.held_out)

    @property
    def best_model(self) -> Trainable:
        """What is validated and shipped: the averaged weights where there are any."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, Trainable)
        return self.average.module

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["step"] = self.step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.step = checkpoint["step"]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.adamw(self.model)]

    def adamw(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        settings = self.recipe.optimiser
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay)

    def update(self, index: int, module: torch.nn.Module, loss: Tensor) -> Tensor:
        """One update by the optimiser of that index; returns the norm of the gradients before clipping."""
        optimisers = self.optimizers()
        optimiser = optimisers[index] if isinstance(optimisers, list) else optimisers
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.optimiser, self.step)
        optimiser.zero_grad()
        self.manual_backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.recipe.optimiser.clip_norm)
        optimiser.step()
        return norm

    def finish_step(self, logged: Mapping[str, Tensor]) -> None:
        """Counts the step, moves the average, and logs every so often."""
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        if self.step % LOG_EVERY_STEPS == 0:
            self.log_dict({f"train/{name}": value.detach() for name, value in logged.items()})
            self.log("train/learning_rate", learning_rate(self.recipe.optimiser, self.step - 1))


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

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.adamw(self.model)] + ([self.adamw(self.discriminators)] if self.discriminators else [])

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
            self.update(1, self.discriminators, logged["discriminator"])

        weights = self.recipe.losses
        terms = {"mel": self.mel(passed.audio, batch, self.step), **passed.losses}
        if self.stft is not None:
            terms["stft"] = self.stft(passed.audio, batch)
        if self.discriminators is not None:
            judged, target = self.discriminators(passed.audio), self.discriminators(batch)
            terms["adversarial"] = losses.adversarial_loss(judged)
            terms["feature_matching"] = losses.feature_matching_loss(judged, target)
        norm = self.update(0, self.model, torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum())
        self.finish_step({**logged, **terms, "gradient_norm": norm})

    def on_validation_epoch_start(self) -> None:
        self.scores: dict[str, list[float]] = {}

    def validation_step(self, clip: int, batch_index: int) -> None:
        reference = torch.from_numpy(self.store.audio(self.validation_clips[clip])).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            degraded = self.best_model(reference[None], None).audio[0]
            scores = {"mel": float(self.mel(degraded[None], reference[None]))}
        scores |= score(reference.cpu().numpy(), degraded.float().cpu().numpy(), self.store.sample_rate)
        for name, value in scores.items():
            self.scores.setdefault(name, []).append(value)

    def on_validation_epoch_end(self) -> None:
        # every device scores the same clips, so there is nothing to gather
        self.log_dict({f"validation/{name}": float(np.mean(values)) for name, values in self.scores.items()}, rank_zero_only=True)
