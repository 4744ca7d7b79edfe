"""Merging frames into segments, and repeating segments back into frames."""

from __future__ import annotations

import torch
from torch import Tensor


def merge(features: Tensor, durations: Tensor) -> Tensor:
    """Mean of each segment's frames.

    features   float [..., F], time last; the first axis is the batch where the durations are batched
    durations  int64 [K], the same for every item, or [B, K], where an item with fewer segments ends in zeros
    returns    float [..., K]; 0 where the duration is 0
    """
    if int(durations.sum(-1).max()) > features.shape[-1]:
        raise ValueError(f"durations last {int(durations.sum(-1).max())} frames, the features have {features.shape[-1]}")
    starts = durations.cumsum(-1) - durations
    total = torch.zeros_like(features[..., :1]).expand(*features.shape[:-1], durations.shape[-1])
    # Frame by frame in time order, not index_add: the sum is then the same on every device and in every batch.
    for offset in range(int(durations.max()) if durations.numel() else 0):
        frame = _take(features, (starts + offset).clamp(max=features.shape[-1] - 1))
        total = total + torch.where(_like(offset < durations, frame), frame, 0.0)
    return total / _like(durations.clamp(min=1), features)


def expand(segments: Tensor, durations: Tensor) -> Tensor:
    """Each segment repeated for its duration.

    segments   [..., K], time last; batched as in `merge`
    returns    [..., F], F the longest item's number of frames; an item that ends earlier is padded with zeros
    """
    if segments.shape[-1] != durations.shape[-1]:
        raise ValueError(f"{segments.shape[-1]} segments, {durations.shape[-1]} durations")
    if durations.ndim == 1:
        return segments.repeat_interleave(durations, dim=-1)
    ends = durations.cumsum(-1)
    frames = torch.arange(int(ends[:, -1].max()), device=durations.device).expand(len(durations), -1).contiguous()
    owner = torch.searchsorted(ends, frames, right=True)
    expanded = _take(segments, owner.clamp(max=durations.shape[-1] - 1))
    return torch.where(_like(owner < durations.shape[-1], expanded), expanded, 0)


def _like(values: Tensor, features: Tensor) -> Tensor:
    """`values` [K] or [B, K], shaped to broadcast against `features` [..., K] or [B, ..., K]."""
    return values if values.ndim == 1 else values.reshape(len(values), *[1] * (features.ndim - 2), -1)


def _take(features: Tensor, index: Tensor) -> Tensor:
    """Frames `index` [K], or [B, K] item by item, of `features` [..., F]."""
    if index.ndim == 1:
        return features.index_select(-1, index)
    return features.gather(-1, _like(index, features).expand(*features.shape[:-1], -1))
