"""What the stages do to an encoder's frames: CodecSlime's Melt and Cool, TFC's shares, FlexiCodec's thresholds.

Every draw is a function of the recipe's seed and the step, so that a resumed training repeats it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.codecs.nn.schedule import num_segments_for, schedfr
from bench.codecs.training.recipe import Cool, Melt, Ratios

EVALUATION_COMPRESSION = 2.0  # of Melt's validation, which is what Cool will ask for


def generator(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng((seed, step))


class Merger(Protocol):
    """CodecSlime's: durations of the segments that a pass averages."""

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        """int64 [B, K] for `latents` [B, D, F], rows padded with zeros; None where nothing is merged. At step None, as inference does."""
        ...


class ScheduledSegments:
    """Cool: ScheDFR at one compression; in training, each item escapes merging with `skip_probability`."""

    def __init__(self, cool: Cool, seed: int) -> None:
        self.cool, self.seed = cool, seed

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        frames = latents.shape[-1]
        segments = num_segments_for(frames, frames / self.cool.compression, frames, self.cool.max_duration)
        scheduled = schedfr(latents.mT.contiguous(), segments, self.cool.max_duration)
        if step is None:
            return scheduled
        durations = torch.nn.functional.pad(scheduled, (0, frames - segments))
        skipped = generator(self.seed, step).random(len(latents)) < self.cool.skip_probability
        durations[torch.from_numpy(skipped).to(durations.device)] = 1
        return durations


class DirichletSegments:
    """Melt: shares of segment lengths from a Dirichlet whose mean moves from "all of one frame" to the target over a curriculum.

    After the curriculum the concentration falls, so that the shares vary more. Lengths are drawn independently until the frames are
    full, the last one cut. The printed algorithm gives the longest length the whole mass at step 0, against its own text; here it is
    length 1.
    """

    def __init__(self, melt: Melt, seed: int) -> None:
        self.melt, self.seed = melt, seed
        cool = Cool(kind="cool", compression=EVALUATION_COMPRESSION, max_duration=len(melt.target_shares))
        self.evaluation = ScheduledSegments(cool, seed)

    def shares(self, step: int, random: np.random.Generator) -> np.ndarray:
        """float64 [U], the probability of each length at `step`."""
        progress = step / self.melt.curriculum_steps
        mean = min(progress, 1.0) * np.array(self.melt.target_shares)
        mean[0] = 1.0 - mean[1:].sum()
        return random.dirichlet(np.maximum(mean, 1e-6) * self.melt.concentration / max(1.0, progress) ** 2.5)

    def durations(self, latents: Tensor, step: int | None) -> Tensor | None:
        if step is None:
            return self.evaluation.durations(latents, None)
        random = generator(self.seed, step)
        if random.random() < self.melt.skip_probability:
            return None
        shares, (batch, _, frames) = self.shares(step, random), latents.shape
        lengths = random.choice(len(shares), size=(batch, frames), p=shares) + 1
        ends = np.minimum(lengths.cumsum(axis=1), frames)
        return torch.from_numpy(np.diff(ends, axis=1, prepend=0)).to(latents.device)


def draw_ratios(ratios: Ratios, batch: int, random: np.random.Generator) -> list[tuple[float, float, float]]:
    """(r_f, r_m, r_c) of each item: the recipe's, or for a share of the items a uniform draw; one in four of those is a pure rate."""
    rows: list[tuple[float, float, float]] = []
    for _ in range(batch):
        shares = np.array(ratios.shares)
        if random.random() < ratios.random_probability:
            shares = np.eye(3)[random.integers(3)] if random.random() < 0.25 else random.dirichlet(np.ones(3))
        fine, medium = float(shares[0]), float(shares[1])
        rows.append((fine, medium, max(0.0, 1.0 - fine - medium)))
    return rows
