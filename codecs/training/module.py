"""The Lightning module of every recipe: one generator, optionally discriminators, and validation by ear-like measures."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from bench.codecs.training import data as training_data
from bench.codecs.training.losses import MelLoss, StftLoss
from bench.codecs.training.merging import build_merging
from bench.codecs.training.models import TrainableSpectral
from bench.codecs.training.recipe import Cool, Optimiser, Recipe


def learning_rate(optimiser: Optimiser, step: int) -> float:
    """Linear warm-up, then the recipe's curve down to `final_learning_rate` at the last step."""
    peak, final = optimiser.learning_rate, optimiser.final_learning_rate
    if step < optimiser.warmup_steps:
        return peak * (step + 1) / optimiser.warmup_steps
    progress = min(1.0, (step - optimiser.warmup_steps) / max(1, optimiser.steps - optimiser.warmup_steps))
    if optimiser.schedule == "cosine":
        return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2
    if optimiser.schedule == "linear":
        return peak + (final - peak) * progress
    if optimiser.schedule == "trapezoid":
        return peak + (final - peak) * max(0.0, 1 - (optimiser.steps - step) / (optimiser.steps * optimiser.decay_share))
    return peak * (final / peak) ** progress


class CodecTraining(L.LightningModule):
    """One training run. Optimisation is manual: with discriminators there are two optimisers, and `step` counts batches, not updates."""

    def __init__(self, recipe: Recipe, store: training_data.AudioStore) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.store = recipe, store
        self.step = 0
        self.model = TrainableSpectral(recipe.model, build_merging(recipe.merging, recipe.seed))
        if isinstance(recipe.merging, Cool):
            self.model.encoder.requires_grad_(False)
        decay = recipe.optimiser.average_decay
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        if self.average is not None:
            self.average.requires_grad_(False)
        self.mel = MelLoss(recipe.data.sample_rate, turns=recipe.losses.mel_turns)
        self.stft = StftLoss() if recipe.losses.stft else None
        self.training_clips, self.validation_clips = training_data.split(store, recipe.data.held_out)

    @property
    def best_model(self) -> TrainableSpectral:
        """What is validated and shipped: the averaged weights where there are any."""
        return self.model if self.average is None else self.average.module

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["step"] = self.step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.step = checkpoint["step"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.recipe.optimiser
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay)

    def train_dataloader(self) -> DataLoader[Tensor]:
        data, steps = self.recipe.data, self.recipe.optimiser.stop_after or self.recipe.optimiser.steps
        crops = training_data.Crops(self.store, self.training_clips, data, self.recipe.seed, steps * data.batch_size)
        return training_data.crop_loader(crops, data.batch_size, self.step, self.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(len(self.validation_clips)), batch_size=None)

    def training_step(self, batch: Tensor, batch_index: int) -> None:
        optimiser = self.optimizers()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.optimiser, self.step)
        passed = self.model(batch, self.step)
        weights = self.recipe.losses
        mel = self.mel(passed.audio, batch, self.step)
        loss = weights.mel * mel
        if self.stft is not None:
            loss = loss + weights.stft * self.stft(passed.audio, batch)
        optimiser.zero_grad()
        self.manual_backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.clip_norm)
        optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        if self.step % 50 == 0:
            self.log_dict({"train/mel": mel.detach(), "train/gradient_norm": norm, "train/learning_rate": optimiser.param_groups[0]["lr"]})

    def on_validation_epoch_start(self) -> None:
        self.scores: dict[str, list[float]] = {}

    def validation_step(self, clip: int, batch_index: int) -> None:
        from bench.codecs.training.quality import score

        reference = torch.from_numpy(self.store.audio(self.validation_clips[clip])).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            degraded = self.best_model(reference[None], None).audio[0]
            self.scores.setdefault("mel", []).append(float(self.mel(degraded[None], reference[None])))
        for name, value in score(reference.cpu().numpy(), degraded.float().cpu().numpy(), self.store.sample_rate).items():
            self.scores.setdefault(name, []).append(value)

    def on_validation_epoch_end(self) -> None:
        self.log_dict({f"validation/{name}": float(np.mean(values)) for name, values in self.scores.items()})
