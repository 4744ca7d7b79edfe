"""Compiled loops of schedule.py, apart so that numba is imported only when a schedule is asked for."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Int64s = NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def pairwise_sum(values: Float32s, start: int, size: int) -> np.float32:
    """Sum of values[start : start + size] in the order in which NumPy adds a contiguous float32 row: ties depend on it."""
    if size < 8:
        total = np.float32(0.0)
        for i in range(start, start + size):
            total += values[i]
        return total
    if size > 128:
        half = size // 2
        half -= half % 8
        return pairwise_sum(values, start, half) + pairwise_sum(values, start + half, size - half)
    a, b, c, d = values[start], values[start + 1], values[start + 2], values[start + 3]
    e, f, g, h = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
    whole = size - size % 8
    for i in range(start + 8, start + whole, 8):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(start + whole, start + size):
        total += values[i]
    return total


@numba.njit(cache=True, nogil=True)
def segment_costs(features: Float32s, max_duration: int, released: bool) -> Float32s:
    """Spread of every segment that may be chosen.

    features  float32 [F, D]
    returns   float32 [max_duration, F]: row s - 1, column t is the cost of frames t .. t + s - 1; 0 where they pass the end
    """
    num_frames, width = features.shape
    costs = np.zeros((max_duration, num_frames), np.float32)
    total = np.empty(width, np.float32)
    squares = np.empty(width, np.float32)
    distances = np.empty(max_duration, np.float32)
    for t in range(num_frames):
        total[:] = features[t]
        for s in range(2, min(max_duration, num_frames - t) + 1):
            total += features[t + s - 1]
            size = np.float32(s)
            for j in range(s):
                row = features[t + j]
                for i in range(width):
                    difference = row[i] - total[i] / size
                    squares[i] = difference * difference
                distances[j] = np.sqrt(pairwise_sum(squares, 0, width))
            cost = pairwise_sum(distances, 0, s)
            costs[s - 1, t] = cost / size * np.float32(s - 1) if released else cost
    return costs


@numba.njit(cache=True, nogil=True)
def _advance(previous: Float32s, current: Float32s, costs: Float32s, k: int, num_segments: int) -> None:
    """Least cost with k segments from that with k - 1; rows are indexed by pad + excess, excess = frames - segments so far.

    Only cells on some complete partition are visited: those that k segments can reach and from which the rest can reach the end.
    """
    pad = costs.shape[0] - 1
    total_excess = costs.shape[1] - num_segments
    low, high = max(0, total_excess - pad * (num_segments - k)), min(total_excess, pad * k)
    current[pad + low : pad + high + 1] = previous[pad + low : pad + high + 1]
    for extra in range(1, pad + 1):
        row = costs[extra]
        for excess in range(max(low, extra), high + 1):
            candidate = previous[pad + excess - extra] + row[k - 1 + excess - extra]
            current[pad + excess] = candidate if candidate < current[pad + excess] else current[pad + excess]


@numba.njit(cache=True, nogil=True)
def cheapest_durations(costs: Float32s, num_segments: int) -> Int64s:
    """Durations of the partition with the smallest sum of costs; among equals, the shortest last segment at every cell.

    costs    float32 [max_duration, F] of `segment_costs`
    returns  int64 [num_segments]; empty where no partition has a finite cost

    The whole table has num_segments * (F - num_segments) cells: one row in sqrt(num_segments) is kept, the others are computed again, a block
    at a time, when the path is followed back.
    """
    pad = costs.shape[0] - 1
    total_excess = costs.shape[1] - num_segments
    stride = int(np.ceil(np.sqrt(num_segments)))
    num_blocks = (num_segments - 1) // stride + 1
    kept = np.full((num_blocks, pad + total_excess + 1), np.inf, np.float32)
    block = np.full((stride + 1, pad + total_excess + 1), np.inf, np.float32)

    kept[0, pad] = 0.0
    for first in range(0, num_blocks * stride, stride):
        block[0] = kept[first // stride]
        for k in range(first + 1, min(first + stride, num_segments) + 1):
            _advance(block[k - 1 - first], block[k - first], costs, k, num_segments)
        if first + stride < num_segments:
            kept[first // stride + 1] = block[stride]
    if not np.isfinite(block[num_segments - (num_blocks - 1) * stride, pad + total_excess]):
        return np.empty(0, np.int64)

    durations = np.empty(num_segments, np.int64)
    excess = total_excess
    for first in range((num_blocks - 1) * stride, -1, -stride):
        block[0] = kept[first // stride]
        last = min(first + stride, num_segments)
        for k in range(first + 1, last + 1):
            _advance(block[k - 1 - first], block[k - first], costs, k, num_segments)
        for k in range(last, first, -1):
            best = block[k - 1 - first, pad + excess]
            chosen = 0
            for extra in range(1, min(pad, excess) + 1):
                candidate = block[k - 1 - first, pad + excess - extra] + costs[extra, k - 1 + excess - extra]
                if candidate < best:
                    best = candidate
                    chosen = extra
            durations[k - 1] = chosen + 1
            excess -= chosen
    return durations
