"""What CodecSlime's stages do to the encoder's frames: Melt's random segments and Cool's ScheDFR in the loop (paper, sections 3.3, 3.4)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.codecs.training.recipe import Cool, Melt


class Merging(Protocol):
    """Durations of the segments that a pass averages."""

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        """int64 [B, K] for `latents` [B, D, F], rows padded with zeros; None where nothing is merged. At step None, as inference does."""
        ...


class Schedule:
    """ScheDFR on each item, at one compression; in training some batches bypass it."""

    def __init__(self, compression: float, max_duration: int, skip_probability: float, seed: int) -> None:
        self.compression, self.max_duration, self.skip_probability, self.seed = compression, max_duration, skip_probability, seed

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        from bench.codecs.nn.schedule import schedfr

        segments = max(1, round(latents.shape[-1] / self.compression))
        rows = [schedfr(item.T.cpu(), segments, self.max_duration) for item in latents]
        durations = torch.stack(rows).to(latents.device)
        if step is not None:
            random = np.random.default_rng((self.seed, step))
            ones = torch.zeros(len(rows), latents.shape[-1], dtype=torch.int64, device=latents.device)
            ones[:, : durations.shape[1]] = durations
            ones[torch.from_numpy(random.random(len(rows)) < self.skip_probability).to(latents.device)] = 1
            return ones
        return durations


class DirichletSegments:
    """Melt: shares of segment lengths from a Dirichlet whose mean moves from "all of one frame" to the target over a curriculum.

    After the curriculum the concentration falls, so that the shares vary more. Lengths are drawn independently until the frames are
    full, the last one cut. The printed algorithm gives the longest length the whole mass at step 0, against its own text; here length 1 has it.
    """

    def __init__(self, melt: Melt, evaluation: Merging, seed: int) -> None:
        self.melt, self.evaluation, self.seed = melt, evaluation, seed

    def shares(self, step: int, random: np.random.Generator) -> np.ndarray:
        """float64 [U], the probability of each length at `step`."""
        progress = step / self.melt.curriculum_steps
        mean = np.minimum(progress, 1.0) * np.array(self.melt.target_shares)
        mean[0] = 1.0 - mean[1:].sum()
        return random.dirichlet(np.maximum(mean, 1e-6) * self.melt.concentration / max(1.0, progress) ** 2.5)

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        if step is None:
            return self.evaluation.durations(latents, None)
        random = np.random.default_rng((self.seed, step))
        if random.random() < self.melt.skip_probability:
            return None
        shares, (batch, _, frames) = self.shares(step, random), latents.shape
        lengths = random.choice(len(shares), size=(batch, frames), p=shares) + 1
        ends = np.minimum(lengths.cumsum(axis=1), frames)
        return torch.from_numpy(np.diff(ends, axis=1, prepend=0)).to(latents.device)


def build_merging(merging: Melt | Cool | None, seed: int) -> Merging | None:
    if merging is None:
        return None
    if isinstance(merging, Cool):
        return Schedule(merging.compression, merging.max_duration, merging.skip_probability, seed)
    return DirichletSegments(merging, Schedule(2.0, len(merging.target_shares), 0.0, seed), seed)
