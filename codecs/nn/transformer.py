"""A pre-norm transformer with rotary positions and layer scale, and the query aggregator that merges frames with it (FlexiCodec)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.codecs.nn.segment import merge


def rotary_angles(num_positions: int, head_dim: int, device: torch.device) -> Tensor:
    """Complex unit rotations [num_positions, head_dim / 2] of positions 0, 1, ... (Su et al. 2021, base 10000)."""
    frequencies = torch.exp(torch.arange(0, head_dim, 2, device=device) * (-math.log(10000.0) / head_dim))
    angles = torch.arange(num_positions, device=device)[:, None] * frequencies
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """`x` [..., F, head_dim] with its neighbouring pairs (0, 1), (2, 3), ... turned as complex numbers, in float32."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotations).flatten(-2).to(x.dtype)


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.out_proj = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, rotations: Tensor, mask: Tensor | None) -> Tensor:
        heads = F.linear(x, self.in_proj_weight).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()  # [B, heads, F, head_dim] each
        mixed = F.scaled_dot_product_attention(rotate(query, rotations), rotate(key, rotations), value, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(-2))


class _LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attn = _Attention(width, num_heads)
        self.layer_scale_1 = _LayerScale(width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, hidden, bias=False)
        self.linear2 = nn.Linear(hidden, width, bias=False)
        self.layer_scale_2 = _LayerScale(width)

    def forward(self, x: Tensor, rotations: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.layer_scale_1(self.self_attn(self.norm1(x), rotations, mask))
        return x + self.layer_scale_2(self.linear2(F.gelu(self.linear1(self.norm2(x)))))


class _Layers(nn.Module):
    def __init__(self, width: int, hidden: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, hidden, num_heads) for _ in range(num_layers))


class Transformer(nn.Module):
    """Every frame attends to every frame: [B, dim, F] -> [B, dim, F]. There is no norm at the end.

    width      inside; where it is not `dim`, linear layers lead in and out
    hidden     of the two-layer perceptrons
    """

    def __init__(self, dim: int, width: int, hidden: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.head_dim = width // num_heads
        same = dim == width
        self.input_proj = nn.Identity() if same else nn.Linear(dim, width, bias=False)
        self.transformer = _Layers(width, hidden, num_heads, num_layers)
        self.output_projs = nn.ModuleList([nn.Identity() if same else nn.Linear(width, dim, bias=False)])

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """valid   bool [B, F], the frames that may be attended to; None: all"""
        rotations = rotary_angles(x.shape[-1], self.head_dim, x.device)
        mask = None if valid is None else valid[:, None, None, :]
        x = self.input_proj(x.mT)
        for layer in self.transformer.layers:
            x = layer(x, rotations, mask)
        return self.output_projs[0](x).mT


class QueryAggregator(nn.Module):
    """Merges each group of frames into one, as a query that attends to all frames (FlexiCodec, section 3.2).

    The transformer runs over "frames of group 1, query 1, frames of group 2, query 2, ..."; a query starts as its group's mean plus a
    learned vector, and what becomes of it is the merged frame.
    """

    def __init__(self, dim: int, width: int, hidden: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.query_embedding = nn.Parameter(torch.randn(1, dim, 1) * 0.02)
        self.transformer = Transformer(dim, width, hidden, num_heads, num_layers)

    def forward(self, features: Tensor, durations: Tensor) -> Tensor:
        """float32 [B, D, G] of `features` [B, D, F]; zeros where the duration is 0.

        durations  int64 [B, G], frames of each group; a row sums to F, and an item of fewer groups ends in zeros
        """
        is_group = durations > 0
        frame_position, query_position = interleave(durations)
        position = torch.cat([frame_position, query_position], dim=1)
        sequence = torch.cat([features, merge(features, durations) + self.query_embedding], dim=2)
        sequence = torch.empty_like(sequence).scatter(2, position[:, None].expand_as(sequence), sequence)
        # Queries without frames come last and are masked: an item then does not depend on its batch. (The released code lets them be
        # attended to; of one item alone there are none.)
        is_padding = not bool(is_group.all())
        valid = torch.cat([torch.ones_like(frame_position, dtype=torch.bool), is_group], dim=1) if is_padding else None
        mixed = self.transformer(sequence, valid)
        return mixed.gather(2, query_position[:, None].expand(-1, mixed.shape[1], -1)) * is_group[:, None]


def interleave(durations: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of frames [B, F] and of queries [B, G] in the sequence where each query follows its group's last frame.

    durations  int64 [B, G]; the queries of groups without frames come last
    """
    ends = durations.cumsum(1)
    frames = torch.arange(int(ends[0, -1]), device=durations.device).expand(len(durations), -1).contiguous()
    groups = torch.arange(durations.shape[1], device=durations.device)
    return frames + torch.searchsorted(ends, frames, right=True), ends + groups
