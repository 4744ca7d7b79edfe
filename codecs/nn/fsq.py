"""Finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each of a few dimensions is rounded to its own number of levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bench.codecs.nn.vq import Quantised

Bound = Literal["centred", "paper"]


class FSQ(nn.Module):
    """Linear layer to len(levels) dimensions, rounding, linear layer back; a token is the levels in mixed radix, first one fastest.

    dim      D, width of the input
    levels   of each dimension; product = codebook_size
    bound    how tanh confines a dimension before rounding; they differ for even levels and in the range's 0.1 % margin:
             "centred"  half width (L-1)/2 * 1.001, shift atanh: 0 maps to 0 (CodecSlime)
             "paper"    half width (L-1)/2 * 0.999, shift tan, as in the FSQ paper's listing (FlexiCodec)
    """

    def __init__(self, dim: int, levels: Sequence[int], bound: Bound = "centred") -> None:
        super().__init__()
        if min(levels) < 2:
            raise ValueError(f"FSQ levels must be 2 or more, got {list(levels)}")
        self.levels = tuple(levels)
        self.codebook_size = math.prod(levels)
        self.bound: Bound = bound
        self.project_in = nn.Linear(dim, len(levels))
        self.project_out = nn.Linear(len(levels), dim)

    def forward(self, x: Tensor) -> Quantised:
        """Quantises `x` float32 [B, D, F]; tokens are [B, 1, F], both losses 0."""
        confined = self.confine(self.project_in(x.mT).float())  # float32 under autocast too: rounding is a cliff
        rounded = confined + (confined.round() - confined).detach()
        no_loss = x.new_zeros(x.shape[0])
        features = self.project_out(rounded / self._half_levels(x)).mT
        return Quantised(features, self.index(confined.detach().round()).unsqueeze(1), no_loss, no_loss)

    def decode(self, tokens: Tensor) -> Tensor:
        """float32 [B, D, F] of `tokens` int64 [B, 1, F]."""
        weight = self.project_out.weight
        rounded = self.digits(tokens[:, 0]) - self._half_levels(weight)
        return self.project_out((rounded / self._half_levels(weight)).to(weight.dtype)).mT

    def confine(self, z: Tensor) -> Tensor:
        """`z` [..., len(levels)] squashed so that rounding gives integers -(L//2) .. (L-1)//2."""
        half_width, offset, shift = self._bounds(z)
        return torch.tanh(z + shift) * half_width - offset

    def index(self, rounded: Tensor) -> Tensor:
        """Tokens int64 [...] of `rounded` [..., len(levels)], integers -(L//2) .. (L-1)//2."""
        return ((rounded + self._half_levels(rounded)).long() * self._radix(rounded)).sum(-1)

    def digits(self, tokens: Tensor) -> Tensor:
        """Levels int64 [..., len(levels)], each in 0..L-1, of `tokens` int64 [...]."""
        return tokens.unsqueeze(-1) // self._radix(tokens) % torch.tensor(self.levels, device=tokens.device)

    # The constants are made where they are used, not kept as buffers: released files hold none, and a model built on the
    # meta device and filled from such a file would be left without them.
    def _half_levels(self, like: Tensor) -> Tensor:
        return torch.tensor([level // 2 for level in self.levels], device=like.device)

    def _radix(self, like: Tensor) -> Tensor:
        return torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=like.device)

    def _bounds(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """half_width, offset, shift, float32 [len(levels)] each."""
        margin = 1e-3 if self.bound == "centred" else -1e-3
        unshift = math.atanh if self.bound == "centred" else math.tan
        half_widths = [(level - 1) * (1 + margin) / 2 for level in self.levels]
        offsets = [0.5 if level % 2 == 0 else 0.0 for level in self.levels]
        shifts = [unshift(offset / half) for offset, half in zip(offsets, half_widths, strict=True)]
        return tuple(torch.tensor(row, device=like.device) for row in (half_widths, offsets, shifts))  # type: ignore[return-value]
