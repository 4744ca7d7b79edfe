"""Schedulers of dynamic frame rates: each cuts F base frames into segments and returns their durations.

Features and audio may be NumPy arrays or torch tensors; durations (int64, in time order, summing to F) are of the same kind and on the
same device. The work itself is NumPy on the CPU. `num_frames` is F, `num_segments` the number of durations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.errors import unknown

Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Array = TypeVar("Array", np.ndarray, Tensor)


def num_segments_for(num_frames: int, frame_rate: float, base_frame_rate: float = 80.0, max_duration: int = 4) -> int:
    """Segments that CodecSlime's released code asks for: rounded half to even, where its paper rounds up; never fewer than can be."""
    return min(num_frames, max(math.ceil(num_frames / max_duration), round(num_frames * frame_rate / base_frame_rate)))


# --- ScheDFR (CodecSlime, section 3.1)

COSTS = ("released", "paper", "squared")


def schedfr(
    features: Array, num_segments: int, max_duration: int = 4, cost: str = "released", allowed: NDArray[np.bool_] | None = None
) -> Array:
    """Durations of the exactly cheapest partition: the least within-segment spread.

    features  float32 [F, D], or [B, F, D] where everything is allowed
    cost      of a segment: "released": mean distance to its mean, times duration - 1, as in the published code; "paper": sum of the
              distances; "squared": sum of their squares, as LACE (arXiv 2609.17509) reads CodecSlime
    allowed   [F + 1], whether a segment may end in front of each frame, and behind the last; None: everywhere
    returns   int64 [num_segments], or [B, num_segments], in 1..max_duration; among equal sums, the shortest last segment at every step
    """
    frames = np.ascontiguousarray(_numpy(features), np.float32)
    if frames.ndim == 3:
        durations = [_cheapest(segment_costs(item, max_duration, cost), num_segments) for item in frames]
        return _like(np.stack(durations) if durations else np.empty((0, num_segments), np.int64), features)
    costs = segment_costs(frames, max_duration, cost)
    if allowed is not None:
        costs[:, ~allowed[1:]] = np.inf
        for size in range(1, min(max_duration, len(frames)) + 1):
            costs[size - 1, size - 1 :][~allowed[: len(frames) + 1 - size]] = np.inf
    return _like(_cheapest(costs, num_segments), features)


@np.errstate(over="ignore")  # an infinite cost is not chosen; where there is no other, the search says so
def segment_costs(features: Float32s, max_duration: int, cost: str = "released") -> Float32s:
    """Spread of every segment that may be chosen, in float32 and in NumPy's order of summation, on which ties depend.

    features  float32 [F, D], C order
    returns   float32 [max_duration, F]: at [s - 1, t] that of the s frames that end with frame t; 0 where they would begin before frame 0
    """
    if cost not in COSTS:
        raise ValueError(unknown("cost", cost, COSTS))
    if features.ndim != 2:
        raise ValueError(f"features must be [F, D], got {list(features.shape)}")
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinite values")
    num_frames = len(features)
    costs = np.zeros((max_duration, num_frames), np.float32)
    chunk = 128  # segments at a time: what they touch stays in the cache
    for size in range(2, min(max_duration, num_frames) + 1):
        for first in range(0, num_frames - size + 1, chunk):
            stop = min(first + chunk, num_frames - size + 1)
            frames = [features[first + offset : stop + offset] for offset in range(size)]
            mean = frames[0].copy()
            for frame in frames[1:]:
                mean += frame
            mean /= np.float32(size)
            distances = np.empty((stop - first, size), np.float32)
            for offset, frame in enumerate(frames):
                difference = frame - mean
                difference *= difference
                squares = difference.sum(axis=1)
                distances[:, offset] = squares if cost == "squared" else np.sqrt(squares)
            spread = distances.sum(axis=1)
            if cost == "released":
                spread = spread / np.float32(size) * np.float32(size - 1)
            costs[size - 1, first + size - 1 : stop + size - 1] = spread
    return costs


def _cheapest(costs: Float32s, num_segments: int) -> Int64s:
    """The partition with the smallest sum of `segment_costs`, summed in float32 from the first segment on.

    The recurrence runs over (segments, excess), excess = frames - segments so far, and visits only cells on some complete partition. Of a
    table too large for one block the first row of each block is kept, and the others are computed again when the path is followed back.
    """
    max_duration, num_frames = costs.shape
    _check_reachable(num_frames, num_segments, max_duration)
    if num_segments == num_frames:
        return np.ones(num_frames, np.int64)
    pad, total_excess = max_duration - 1, num_frames - num_segments
    stride = min(num_segments, max(math.ceil(math.sqrt(num_segments)), 2**22 // (pad + total_excess + 1)))  # 16 MiB, or O(F ** 1.5)
    firsts = range(0, num_segments, stride)
    kept = np.full((len(firsts), pad + total_excess + 1), np.inf, np.float32)
    kept[0, pad] = 0.0
    block = np.full((stride + 1, pad + total_excess + 1), np.inf, np.float32)
    # At [row, s - 1, excess]: the sum so far where the next segment has s frames and leaves this excess.
    before = sliding_window_view(block, max_duration, axis=1)[:, :, ::-1].swapaxes(1, 2)

    def fill(first: int) -> None:
        block[0] = kept[first // stride]
        for row, k in enumerate(range(first + 1, min(first + stride, num_segments) + 1)):
            low, high = max(0, total_excess - pad * (num_segments - k)), min(total_excess, pad * k)
            candidates = np.add(before[row, :, low : high + 1], costs[:, k - 1 + low : k + high], order="C")
            candidates.min(axis=0, out=block[row + 1, pad + low : pad + high + 1])
            block[row + 1, pad + high + 1 : pad + high + 1 + pad] = np.inf  # all that the next row sees beyond `high`

    for first in firsts:
        fill(first)
        if first + stride < num_segments:
            kept[first // stride + 1] = block[stride]
    if not np.isfinite(block[num_segments - firsts[-1], -1]):
        raise ValueError("no partition has a finite cost: the features are too large for float32")

    durations = np.empty(num_segments, np.int64)
    excess = total_excess
    for first in reversed(firsts):
        if first != firsts[-1]:
            fill(first)
        for k in range(min(first + stride, num_segments), first, -1):
            extra = int(np.argmin(before[k - 1 - first, :, excess] + costs[:, k - 1 + excess]))  # the first of equals: the shortest
            durations[k - 1] = extra + 1
            excess -= extra
    return durations


# --- TFC (sections 2.1 and 2.2)


def temporal_entropy(audio: Array, window: int, hop: int, bins: int, sigma: float) -> Array:
    """Entropy, in nats, of the amplitudes around each span of `hop` samples.

    audio    float32 [T] in [-1, 1]
    window   samples, centred on the span and cut at the edges of the audio
    bins     amplitude bins, equally spaced over [-1, 1]; a sample belongs to each by a Gaussian of width `sigma`
    returns  float64 [ceil(T / hop)]
    """
    if window < 1 or hop < 1 or bins < 2 or not sigma > 0:
        raise ValueError(f"window {window} and hop {hop} must be at least 1, bins {bins} at least 2, sigma {sigma} positive")
    samples = np.asarray(_numpy(audio), np.float64)
    num_samples = len(samples)
    if not num_samples:
        return _like(np.empty(0), audio)
    begins = hop * np.arange(-(-num_samples // hop)) + (hop - window) // 2
    starts, ends = np.clip(begins, 0, num_samples - 1), np.clip(begins + window, 1, num_samples)

    # Windows overlap: sum each piece between two edges once. Affinities are rounded to integers, so that the sums are exact and equal
    # windows (digital silence) tie exactly, wherever they lie and in whatever order a machine adds.
    unit = 2.0**36
    reach = sigma * math.sqrt(2.0 * math.log(2.0 * unit))  # beyond it an affinity rounds to 0
    edges = np.unique(np.concatenate([[0], starts, ends, [num_samples]]))
    order = np.argsort(samples)
    samples, piece = samples[order], np.repeat(np.arange(len(edges) - 1), np.diff(edges))[order]
    mass = np.zeros((len(edges), bins), np.int64)
    for i, centre in enumerate(np.linspace(-1.0, 1.0, bins)):
        near = slice(*np.searchsorted(samples, (centre - reach, centre + reach)))
        affinity = np.rint(unit * np.exp(-0.5 * ((samples[near] - centre) / sigma) ** 2))
        mass[1:, i] = np.bincount(piece[near], affinity, minlength=len(edges) - 1)
    mass = mass.cumsum(axis=0)
    total = mass[np.searchsorted(edges, ends)] - mass[np.searchsorted(edges, starts)]

    affinity = total / (ends - starts)[:, None] / unit
    probability = affinity / (affinity.sum(axis=1, keepdims=True) + 1e-12)
    return _like(-(probability * np.log(np.where(probability > 0, probability, 1.0))).sum(axis=1), audio)


def tfc_masks(h_f: Array, h_m: Array, h_c: Array, ratios: Sequence[float], rule: str = "rank") -> Array:
    """Durations of 1, 2 and 4 fine frames: the calmest spans coarse, the calmest of the rest medium, the others fine.

    h_f, h_m, h_c  float [F], [F / 2], [F / 4], entropies at the three resolutions (of h_f only the length counts)
    ratios         shares of time (r_f, r_m, r_c), summing to 1
    rule           "rank": exact counts, rounded half up, the earlier of equals first; "threshold": all that are <= the (interpolated)
                   quantile, as the paper prints it
    returns        int64 [.]; a duration starts at a multiple of itself
    """
    check_ratios(ratios)
    _, r_m, r_c = ratios
    num_frames, medium, coarse = len(h_f), _numpy(h_m), _numpy(h_c)
    if num_frames != 2 * len(medium) or num_frames != 4 * len(coarse):
        raise ValueError(f"entropies must be F, F / 2 and F / 4 long, got {num_frames}, {len(medium)} and {len(coarse)}")
    if rule not in RULES:
        raise ValueError(unknown("rule", rule, RULES))
    lowest = RULES[rule]

    slot_is_coarse = lowest(coarse, r_c)
    free = np.flatnonzero(~slot_is_coarse.repeat(2))  # the paper zeroes the covered entries instead: its masks would overlap
    pair_is_medium = np.zeros(len(medium), bool)
    pair_is_medium[free] = lowest(medium[free], r_m / (1 - r_c) if r_c < 1 else 0.0)
    duration = np.where(slot_is_coarse.repeat(4), 4, np.where(pair_is_medium.repeat(2), 2, 1))
    return _like(duration[np.arange(num_frames) % duration == 0].astype(np.int64), h_f)


def check_ratios(ratios: Sequence[float]) -> None:
    if len(ratios) != 3 or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-6:
        raise ValueError(f"ratios (fine, medium, coarse) must be three shares that sum to 1, got {tuple(ratios)}")


def _lowest_rank(values: NDArray, share: float) -> NDArray[np.bool_]:
    """Mask of the round(share * n) lowest values; the tiny term keeps 0.3 * 5 a tie whatever the float says."""
    chosen = np.zeros(len(values), bool)
    chosen[np.argsort(values, kind="stable")[: math.floor(share * len(values) + 0.5 + 1e-9)]] = True
    return chosen


def _lowest_threshold(values: NDArray, share: float) -> NDArray[np.bool_]:
    if share == 0 or not len(values):
        return np.zeros(len(values), bool)  # "<= the 0-quantile" would still take the minimum
    return values <= np.quantile(values, min(share, 1.0))


RULES: Mapping[str, Callable[[NDArray, float], NDArray[np.bool_]]] = {"rank": _lowest_rank, "threshold": _lowest_threshold}


# --- FlexiCodec (section 3.4 of its specification)


def greedy_merge(features: Array, threshold: float, max_duration: int = 8) -> Array:
    """Durations of groups in which each frame is more similar to the one before it than `threshold`; none longer than `max_duration`.

    features  float32 [F, D]
    """
    if len(features) == 0:
        return _like(np.empty(0, np.int64), features)
    return _like(group(neighbour_similarity(features), threshold, max_duration), features)


def neighbour_similarity(features: Array) -> Float32s:
    """Cosine of every frame and the next, float32 [F - 1], of features float32 [F, D]."""
    frames = torch.as_tensor(_numpy(features)).float()
    return functional.cosine_similarity(frames[:-1], frames[1:], dim=-1).numpy()


def group(similarity: Float32s, threshold: float, max_duration: int = 8) -> Int64s:
    """Durations of `greedy_merge` for len(similarity) + 1 frames: a group ends where the similarity is <= `threshold`, or when full."""
    frame = np.arange(len(similarity) + 1)
    run_start = np.maximum.accumulate(np.where(np.concatenate([[True], similarity <= np.float32(threshold)]), frame, 0))
    starts = np.flatnonzero((frame - run_start) % max_duration == 0)
    return np.diff(starts, append=len(frame))


def group_within(similarity: Float32s, threshold: float, max_duration: int = 8, allowed: NDArray[np.bool_] | None = None) -> Int64s:
    """`group` whose groups end only where `allowed` [F + 1] says (as in `schedfr`), a full one at the last place where it may.

    Of any `max_duration` places in a row one must be allowed, else ValueError.
    """
    if allowed is None:
        return group(similarity, threshold, max_duration)
    places = np.flatnonzero(allowed[1:]) + 1
    wanted = np.concatenate([similarity <= np.float32(threshold), [True]])[places - 1]  # the last group ends with the last frame
    starts = [0]
    for before, place, is_wanted in zip(np.concatenate([[0], places[:-1]]).tolist(), places.tolist(), wanted.tolist(), strict=True):
        if place - starts[-1] > max_duration and before > starts[-1]:
            starts.append(before)
        if place - starts[-1] > max_duration:
            raise ValueError(f"no place to end a group of at most {max_duration} frames after frame {starts[-1]}")
        if is_wanted:
            starts.append(place)
    if starts[-1] != len(similarity) + 1:
        raise ValueError("a group must be allowed to end behind the last frame")
    return np.diff(starts)


def solve_threshold(similarities: Sequence[Float32s], num_segments: int, max_duration: int = 8) -> float:
    """The threshold at which sequences with these `neighbour_similarity` have, together, the number of groups nearest to `num_segments`."""

    def excess(threshold: float) -> int:
        return sum(len(group(similarity, threshold, max_duration)) for similarity in similarities) - num_segments

    # The number of groups is a step function that rises at the similarities themselves, and never falls.
    steps = np.unique(np.concatenate([np.full(1, -2.0, np.float32), *similarities]))
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if excess(steps[middle]) >= 0 else (middle + 1, high)
    return float(min(steps[max(low - 1, 0) : low + 1], key=lambda step: abs(excess(step))))


# --- Others' rules, made to meet a number of segments exactly


def ple(features: Array, num_segments: int, max_duration: int = 4) -> Array:
    """Durations of segments of equal path length: the cosine distances between neighbours, summed (DTM-Codec, arXiv 2606.29480); O(F).

    A segment starts with the first frame that lies beyond its share of the whole path, as far as 1 to `max_duration` frames allow; what
    does not move at all is cut evenly.

    features  float32 [F, D]
    """
    num_frames = len(features)
    _check_reachable(num_frames, num_segments, max_duration)
    steps = 1.0 - neighbour_similarity(features).astype(np.float64) if num_frames else np.empty(0)
    path = np.concatenate([np.zeros(min(1, num_frames)), np.cumsum(np.maximum(steps, 1e-9))])
    shares = np.arange(num_segments) / max(num_segments, 1) * (path[-1] if num_frames else 0.0)
    return _like(_cut_near(np.searchsorted(path, shares), num_frames, num_segments, max_duration), features)


def density(features: Array, num_segments: int, max_duration: int = 4, neighbours: int = 5) -> Array:
    """Durations of clusters that grow around dense frames (VARSTok, arXiv 2509.04685: density peaks aware of time).

    A frame's density says how near its `neighbours` most similar frames are, its separation how far the nearest denser frame is, both among
    the frames within 4 `max_duration` of it. In the order of density times separation, each frame that is still free takes in the free
    frames beside it, up to `max_duration` in all, while their cosine to it is at least a threshold: the lowest that leaves as many clusters
    as there are to be segments. Of more, the boundaries between the most similar neighbours are taken out.

    features  float32 [F, D]
    """
    num_frames = len(features)
    _check_reachable(num_frames, num_segments, max_duration)
    if num_segments == num_frames:
        return _like(np.ones(num_frames, np.int64), features)
    frames = functional.normalize(torch.as_tensor(_numpy(features)).float(), dim=-1).numpy()
    banded = _banded_cosines(frames, 4 * max_duration)
    order = np.argsort(-_peaks(banded, neighbours), kind="stable")
    low, high = -1.0, 1.0 + 1e-6  # beyond 1 no two frames are joined
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_grown(banded, order, middle, max_duration)) >= num_segments else (middle, high)
    starts = _grown(banded, order, high, max_duration)
    similarity = neighbour_similarity(features)[starts[1:] - 1]
    kept = np.sort(np.argsort(similarity, kind="stable")[: num_segments - 1])
    return _like(_cut_near(np.concatenate([[0], starts[1:][kept]]), num_frames, num_segments, max_duration), features)


def density_peaks(features: Array, threshold: float, max_duration: int = 4, neighbours: int = 5, penalty: float = 0.2) -> Array:
    """Durations of clusters around density peaks, by a threshold (VARSTok as LACE, arXiv 2609.17509, equation 2, describes it).

    With nearness (1 + cosine) / 2, a frame's density is the mean nearness of the `neighbours` frames nearest to it in the whole utterance,
    its peak score the density times the frames between it and the next denser one (F where there is none). In the order of the scores,
    each frame that is free takes in the free frames to its right, then to its left, while nearness to it less `penalty` times their own
    score is above `threshold`, up to `max_duration` in all.

    features  float32 [F, D]
    """
    num_frames = len(features)
    if num_frames == 0:
        return _like(np.empty(0, np.int64), features)
    frames = functional.normalize(torch.as_tensor(_numpy(features)).float(), dim=-1)
    scores = _time_peaks(_densities(frames, neighbours))
    nearness = (1 + _banded_cosines(frames.numpy(), max_duration).astype(np.float64)) / 2
    free, starts = np.ones(num_frames + 2, bool), list[int]()  # frame t at t + 1; no frame lies beyond the ends
    free[0] = free[-1] = False

    def joins(seed: int, frame: int) -> bool:
        return bool(free[frame + 1]) and bool(nearness[seed, max_duration + frame - seed] - penalty * scores[frame] > threshold)

    for center in np.argsort(-scores, kind="stable").tolist():
        if not free[center + 1]:
            continue
        first = last = center
        while last - first + 1 < max_duration and joins(center, last + 1):
            last += 1
        while last - first + 1 < max_duration and joins(center, first - 1):
            first -= 1
        free[first + 1 : last + 2] = False
        starts.append(first)
    return _like(np.diff(np.sort(np.array(starts, np.int64)), append=num_frames), features)


def _densities(frames: Tensor, neighbours: int) -> NDArray[np.float64]:
    """Mean nearness of the nearest frames, float64 [F], of normalised `frames` [F, D]; 1 for a frame that is alone."""
    count = min(neighbours, len(frames) - 1)
    if not count:
        return np.ones(len(frames))
    means = []
    for first in range(0, len(frames), 1024):  # rows at a time: the whole table would be F by F
        cosines = frames[first : first + 1024] @ frames.T
        cosines[torch.arange(len(cosines)), torch.arange(first, first + len(cosines))] = -torch.inf  # not itself
        means.append(cosines.topk(count, dim=1).values.double().mean(dim=1))
    return ((1 + torch.cat(means)) / 2).numpy()


def _time_peaks(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density times the number of frames to the nearest denser frame, before or after; F where there is none."""
    away = np.full(len(dense), len(dense))
    for order in (range(len(dense)), reversed(range(len(dense)))):
        denser: list[int] = []  # frames passed, each less dense than the one before it in the list
        for frame in order:
            while denser and dense[denser[-1]] <= dense[frame]:
                denser.pop()
            if denser:
                away[frame] = min(away[frame], abs(frame - denser[-1]))
            denser.append(frame)
    return dense * away


def _banded_cosines(frames: Float32s, reach: int) -> Float32s:
    """Cosine of every frame with those up to `reach` before and after it, float32 [F, 2 reach + 1], of normalised `frames`; else -inf."""
    num_frames = len(frames)
    banded = np.full((num_frames, 2 * reach + 1), -np.inf, np.float32)
    for offset in range(min(reach, num_frames - 1) + 1):
        cosine = (frames[: num_frames - offset] * frames[offset:]).sum(axis=1)
        banded[: num_frames - offset, reach + offset] = cosine
        banded[offset:, reach - offset] = cosine
    return banded


def _peaks(banded: Float32s, neighbours: int) -> NDArray[np.float64]:
    """Density times separation of every frame, float64 [F]."""
    reach = banded.shape[1] // 2
    distance = np.where(np.isfinite(banded), np.maximum(1.0 - banded.astype(np.float64), 0.0), np.inf)
    others = np.sort(np.delete(distance, reach, axis=1), axis=1)[:, :neighbours]
    known = np.isfinite(others)
    mean = np.where(known, others, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    dense = np.exp(-mean)
    padded = np.pad(dense, reach, constant_values=-np.inf)
    denser = sliding_window_view(padded, 2 * reach + 1) > dense[:, None]
    farthest = np.where(np.isfinite(distance), distance, 0.0).max(axis=1)
    nearest = np.where(denser, distance, np.inf).min(axis=1)
    return dense * np.where(np.isfinite(nearest), nearest, farthest)


def _grown(banded: Float32s, order: Int64s, threshold: float, max_duration: int) -> Int64s:
    """First frames of the clusters that grow around the frames of `order`, in time order."""
    num_frames, reach = len(banded), banded.shape[1] // 2
    free = np.ones(num_frames + 2, bool)  # frame t at t + 1; no frame lies beyond the ends
    free[0] = free[-1] = False
    starts = []
    for seed in order.tolist():
        if not free[seed + 1]:
            continue
        first = last = seed
        cosines = banded[seed]
        while last - first + 1 < max_duration:
            before = cosines[reach + first - 1 - seed] if free[first] else -np.inf
            after = cosines[reach + last + 1 - seed] if free[last + 2] else -np.inf
            if max(before, after) < threshold or not (free[first] or free[last + 2]):
                break
            first, last = (first - 1, last) if before > after else (first, last + 1)
        free[first + 1 : last + 2] = False
        starts.append(first)
    return np.sort(np.array(starts, np.int64))


def _cut_near(starts: Int64s, num_frames: int, num_segments: int, max_duration: int) -> Int64s:
    """Durations of segments that start as near to `starts`, which never fall, as 1 to `max_duration` frames a segment allow."""
    durations = np.empty(num_segments, np.int64)
    begin = 0
    for k in range(num_segments - 1):
        left = num_segments - 1 - k  # segments after this one
        earliest = max(begin + 1, num_frames - left * max_duration)
        latest = min(begin + max_duration, num_frames - left)
        end = min(max(int(starts[k + 1]), earliest), latest)
        durations[k], begin = end - begin, end
    if num_segments:
        durations[-1] = num_frames - begin
    return durations


# --- Controls: what a scheduler must beat


def uniform(num_frames: int, num_segments: int) -> Int64s:
    """Durations as equal as they can be; a fractional rate is spread evenly (Bresenham)."""
    _check_reachable(num_frames, num_segments, num_frames)
    return np.diff(np.arange(num_segments + 1) * num_frames // max(num_segments, 1))


def random(num_frames: int, num_segments: int, max_duration: int, seed: int) -> Int64s:
    """Durations drawn by giving the frames beyond one a segment to free places at random."""
    _check_reachable(num_frames, num_segments, max_duration)
    places = np.repeat(np.arange(num_segments), max_duration - 1)
    extra = np.random.default_rng(seed).permutation(places)[: num_frames - num_segments]
    return 1 + np.bincount(extra, minlength=num_segments)


def oracle(start: Int64s, distance: Callable[[Int64s], float], max_duration: int, evaluations: int, seed: int = 0) -> Int64s:
    """The schedule with as many segments as `start` whose `distance` (of the decoded audio, say) no single moved boundary lowers.

    Local search: boundaries are moved anywhere, in random order, and a move that helps is kept; after `evaluations` calls of `distance` the
    best so far is returned.
    """
    best, least = np.asarray(start, np.int64), distance(start)
    num_moves = (len(best) - 1) * (int(best.sum()) - 1)
    rng, evaluations, improved = np.random.default_rng(seed), evaluations - 1, True
    while improved:
        improved = False
        for move in rng.permutation(num_moves):
            boundary, place = divmod(int(move), int(best.sum()) - 1)
            cuts = np.cumsum(best)[:-1]
            cuts[boundary] = place + 1
            durations = np.diff(np.concatenate([[0], np.sort(cuts), [best.sum()]]))
            if durations.min() < 1 or durations.max() > max_duration or np.array_equal(durations, best):
                continue
            if evaluations <= 0:
                return best
            evaluations -= 1
            if (candidate := distance(durations)) < least:
                best, least, improved = durations, candidate, True
    return best


def by_rate(max_duration: int) -> dict[str, Callable[[Tensor, int, int], Tensor]]:
    """The schedulers that meet a number of segments exactly: each takes features [F, D], that number and a seed."""

    def of_length(durations: Int64s) -> Tensor:
        return torch.from_numpy(durations)

    return {
        "schedfr": lambda features, segments, seed: schedfr(features, segments, max_duration),
        "schedfr_paper": lambda features, segments, seed: schedfr(features, segments, max_duration, cost="paper"),
        "schedfr_squared": lambda features, segments, seed: schedfr(features, segments, max_duration, cost="squared"),
        "ple": lambda features, segments, seed: ple(features, segments, max_duration),
        "density": lambda features, segments, seed: density(features, segments, max_duration),
        "uniform": lambda features, segments, seed: of_length(uniform(len(features), segments)),
        "random": lambda features, segments, seed: of_length(random(len(features), segments, max_duration, seed)),
    }


def _check_reachable(num_frames: int, num_segments: int, max_duration: int) -> None:
    if not num_segments <= num_frames <= num_segments * max_duration:
        raise ValueError(f"{num_frames} frames can not be cut into {num_segments} segments of 1 to {max_duration}")


def _numpy(values: np.ndarray | Tensor) -> NDArray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    return np.asarray(values)


def _like(values: NDArray, original: Array) -> Array:
    return torch.from_numpy(values).to(original.device) if isinstance(original, Tensor) else values
