"""Intervals, tests and multiplicity for means over utterances that come in clusters: arrays in, arrays out.

Everything here is a ratio of two sums over clusters, one column a quantity: a mean is the sum of scores over their number, a word
error rate is errors over words, a bitrate is bits over seconds, a paired mean difference is the sum of differences over their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

REPLICATES = 2000  # of a bootstrap: the 2.5 % points then lie within 0.4 % of their level
ENUMERATED = 2**14  # signs of a permutation test: up to as many are all taken, so that p does not depend on a seed
FLIPS = 9999  # else so many are drawn: the least p is 1e-4
MIN_CLUSTERS = 3  # fewer say nothing about their spread
MIN_RESAMPLED = 5  # a bootstrap of fewer draws one of them alone too often
COLUMNS_AT_ONCE = 512  # of a bootstrap or a permutation test: bounds memory at replicates x so many
SPREAD_FLOOR = 0.4  # of a replicate's standard error, as a share of the sample's: without it, one rare error gives an infinite interval


@dataclass(frozen=True)
class ClusterSums:
    """K ratios as sums within C clusters.

    numerator, denominator   float64 [C, K]; both 0 where a cluster holds nothing of the column
    """

    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """float64 [K]; NaN where nothing was counted."""
        return divide(self.numerator.sum(axis=0), self.denominator.sum(axis=0))


@dataclass(frozen=True)
class Ratios:
    """K ratios with what their clusters say of their spread.

    estimate   float64 [K]
    error      float64 [K], linearised standard error; NaN below MIN_CLUSTERS clusters
    clusters   int64 [K], those that hold something
    """

    estimate: np.ndarray
    error: np.ndarray
    clusters: np.ndarray

    def student(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Bounds by Student's t with a degree of freedom less than clusters, float64 [K] each: for differences, which are symmetric."""
        half = student_quantile(self.clusters, confidence) * self.error
        return self.estimate - half, self.estimate + half

    def p_above(self, value: np.ndarray | float) -> np.ndarray:
        """One-sided p by Student's t that the ratio is no greater than `value`, float64 [K]; NaN without an error.

        Where nothing varies, what lies above is certain.
        """
        distance = self.estimate - value
        certain = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        statistic = np.divide(distance, self.error, out=certain, where=self.error != 0)
        return np.where(np.isnan(self.error), np.nan, special.stdtr(np.maximum(self.clusters - 1, 1), -statistic))

    def p_below(self, value: np.ndarray | float) -> np.ndarray:
        """One-sided p that the ratio is no less than `value`."""
        return Ratios(-self.estimate, self.error, self.clusters).p_above(-np.asarray(value))


def ratios(sums: ClusterSums) -> Ratios:
    """The ratios of `sums` and their errors.

    An error is linearised: the root of C / (C - 1) times the sum over clusters of (numerator - ratio * denominator)^2, over the total
    denominator.
    """
    estimate = sums.ratio
    residual = _residual(sums, estimate)
    counted = (sums.denominator != 0).sum(axis=0)
    correction = divide(counted.astype(np.float64), counted - 1.0)
    error = np.sqrt(correction * (residual**2).sum(axis=0)) / np.where(counted > 0, sums.denominator.sum(axis=0), np.nan)
    return Ratios(estimate, np.where(counted >= MIN_CLUSTERS, error, np.nan), counted)


def student_quantile(clusters: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Half-width of an interval in errors, by Student's t with a degree of freedom less than `clusters`."""
    return special.stdtrit(np.maximum(clusters - 1, 1), (1 + confidence) / 2)


def level_interval(sums: ClusterSums, weights: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of levels, which may be skewed, float64 [K] each; NaN below MIN_CLUSTERS clusters.

    Bootstrap-t (Efron and Tibshirani 1993, section 12.5) by `weights` [B, C], and Student's t below MIN_RESAMPLED clusters. Where no
    cluster is negative, they are widened as far as Student's t of the logarithm reaches: skewed scores (word errors) are covered so, as
    tests/test_coverage.py shows.
    """
    found = ratios(sums)
    tail = (1 - confidence) / 2
    upper_t, lower_t = np.hstack(
        [np.quantile(bootstrap_t(part, weights).T.copy(), [1 - tail, tail], axis=1) for part in _parts(sums)]  # along what is contiguous
    )
    resampled = found.clusters >= MIN_RESAMPLED
    low, high = found.student(confidence)
    low = np.where(resampled, found.estimate - upper_t * found.error, low)
    high = np.where(resampled, found.estimate - lower_t * found.error, high)
    positive = (sums.numerator >= 0).all(axis=0) & (found.estimate > 0)
    relative = divide(found.error, np.where(positive, found.estimate, 0.0))
    reach = np.exp(special.stdtrit(np.maximum(found.clusters - 1, 1), 1 - tail) * relative)
    widened = np.minimum(low, found.estimate / reach), np.maximum(high, found.estimate * reach)
    return np.where(positive, widened[0], low), np.where(positive, widened[1], high)


def _parts(sums: ClusterSums) -> Iterator[ClusterSums]:
    """COLUMNS_AT_ONCE columns of `sums` after another."""
    for first in range(0, max(1, sums.numerator.shape[1]), COLUMNS_AT_ONCE):
        part = slice(first, first + COLUMNS_AT_ONCE)
        yield ClusterSums(sums.numerator[:, part], sums.denominator[:, part])


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.broadcast(numerator, denominator).shape, np.nan), where=denominator != 0)


def cluster_sums(numerator: np.ndarray, denominator: np.ndarray, cluster: np.ndarray) -> ClusterSums:
    """Sums of float64 [U, K] columns within clusters; `cluster` int64 [U] in 0..C-1."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    return ClusterSums(np.add.reduceat(numerator[order], starts, axis=0), np.add.reduceat(denominator[order], starts, axis=0))


def resampling_weights(num_clusters: int, seed: int, replicates: int = REPLICATES) -> np.ndarray:
    """How often each cluster is drawn in each replicate, float64 [B, C]; rows sum to C."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=replicates).astype(np.float64)


def resample_ratios(sums: ClusterSums, weights: np.ndarray) -> np.ndarray:
    """The ratios in each replicate, float64 [B, K], for statistics that are functions of several of them."""
    return divide(weights @ sums.numerator, weights @ sums.denominator)


def bootstrap_t(sums: ClusterSums, weights: np.ndarray) -> np.ndarray:
    """(replicate - ratio) / error of the replicate, float64 [B, K], all columns by the same `weights` [B, C], so that they stay paired.

    The error of a replicate is that of `ratios`, weighted.
    """
    found = ratios(sums)
    residual = _residual(sums, found.estimate)
    correction = divide(found.clusters.astype(np.float64), found.clusters - 1.0)
    drawn = weights @ sums.denominator
    shift = divide(weights @ residual, drawn)  # replicate - ratio
    spread = weights @ residual**2 - 2 * shift * (weights @ (residual * sums.denominator)) + shift**2 * (weights @ sums.denominator**2)
    replicate_error = divide(np.sqrt(np.maximum(correction * spread, 0.0)), drawn)
    t = divide(shift, np.maximum(replicate_error, SPREAD_FLOOR * found.error))
    return np.where(np.isnan(t), 0.0, t)  # a replicate that drew nothing of a sparse column, or a column without spread


def _residual(sums: ClusterSums, estimate: np.ndarray) -> np.ndarray:
    """numerator - ratio * denominator, float64 [C, K]: centred, so that nothing cancels later."""
    return sums.numerator - np.where(np.isnan(estimate), 0.0, estimate) * sums.denominator


def sign_flip_p(sums: ClusterSums, seed: int, flips: int = FLIPS) -> np.ndarray:
    """Two-sided p of paired differences, float64 [K]: how often random signs on whole clusters give as large a sum.

    All 2^C signs are taken up to ENUMERATED of them (half of them, as turning all round changes nothing); else `flips` are drawn, and the
    observed signs count as one of flips + 1 (Phipson and Smyth 2010).
    """
    enumerated = takes_all_signs(len(sums.numerator))
    signs = flip_signs(len(sums.numerator), seed, flips)
    as_large = np.concatenate([_as_large(part.numerator, signs) for part in _parts(sums)])
    p = as_large / len(signs) if enumerated else (as_large + 1) / (flips + 1)
    return np.where((sums.denominator != 0).any(axis=0), p, np.nan)


def takes_all_signs(num_clusters: int) -> bool:
    return 2**num_clusters <= ENUMERATED


def flip_signs(num_clusters: int, seed: int, flips: int = FLIPS) -> np.ndarray:
    """The signs that `sign_flip_p` takes, 1 or -1, float64 [B, C]: all where they are few, the last cluster's as it is, else drawn."""
    if takes_all_signs(num_clusters):
        return 1.0 - 2.0 * ((np.arange(2 ** (num_clusters - 1))[:, None] >> np.arange(num_clusters)) & 1)
    return np.random.default_rng(seed).integers(0, 2, (flips, num_clusters)) * 2.0 - 1.0


def _as_large(differences: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """How many rows of `signs` [B, C] give as large a sum of `differences` [C, K] as they have, int64 [K]."""
    observed = np.abs(differences.sum(axis=0))
    tolerance = 1e-12 * np.abs(differences).sum(axis=0)  # sums in another order must still count as equal
    flipped = signs @ differences
    np.abs(flipped, out=flipped)
    return (flipped >= observed - tolerance).sum(axis=0)


def least_p(sums: ClusterSums) -> np.ndarray:
    """The least p that `sign_flip_p` could give with so many clusters, float64 [K]; NaN where there is nothing to test."""
    clusters = (sums.denominator != 0).sum(axis=0)
    least = np.maximum(2.0 ** (1 - clusters), np.where(2.0**clusters > ENUMERATED, 1 / (FLIPS + 1), 0.0))
    return np.where(clusters > 0, least, np.nan)


def holm(p: np.ndarray) -> np.ndarray:
    """p values adjusted for their number (Holm 1979), same shape; NaN is no test and stays NaN."""
    flat = np.ravel(p)
    tested = np.flatnonzero(~np.isnan(flat))
    order = tested[np.argsort(flat[tested])]
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)))
    return adjusted.reshape(np.shape(p))


def pchip_slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Derivatives at the knots of the monotone piecewise cubic through them (Fritsch and Butland 1984), float64 [B, K] as x and y.

    x   strictly rising along the last axis; a row a curve, so that all replicates of a bootstrap are done at once
    """
    h = np.diff(x)
    secant = np.diff(y) / h
    if x.shape[-1] == 2:
        return np.repeat(secant, 2, axis=-1)
    before, after = secant[..., :-1], secant[..., 1:]
    weight_before, weight_after = 2 * h[..., 1:] + h[..., :-1], h[..., 1:] + 2 * h[..., :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = (weight_before + weight_after) / (weight_before / before + weight_after / after)
    slopes = np.empty_like(y)
    slopes[..., 1:-1] = np.where(before * after > 0, harmonic, 0.0)
    slopes[..., 0] = _end_slope(h[..., 0], h[..., 1], secant[..., 0], secant[..., 1])
    slopes[..., -1] = _end_slope(h[..., -1], h[..., -2], secant[..., -1], secant[..., -2])
    return slopes


def _end_slope(h_end: np.ndarray, h_next: np.ndarray, secant_end: np.ndarray, secant_next: np.ndarray) -> np.ndarray:
    """Three-point derivative at an end, cut back so that the curve stays monotone."""
    slope = ((2 * h_end + h_next) * secant_end - h_end * secant_next) / (h_end + h_next)
    slope = np.where(np.sign(slope) != np.sign(secant_end), 0.0, slope)
    overshoots = (np.sign(secant_end) != np.sign(secant_next)) & (np.abs(slope) > 3 * np.abs(secant_end))
    return np.where(overshoots, 3 * secant_end, slope)


def pchip_integral(x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integral of the monotone piecewise cubic through x, y [B, K] from `low` to `high` [B], both within the knots."""
    h, slopes = np.diff(x), pchip_slopes(x, y)
    start = np.clip((low[..., None] - x[..., :-1]) / h, 0.0, 1.0)
    stop = np.clip((high[..., None] - x[..., :-1]) / h, 0.0, 1.0)
    left, right = y[..., :-1], y[..., 1:]
    left_slope, right_slope = h * slopes[..., :-1], h * slopes[..., 1:]

    def primitive(s: np.ndarray) -> np.ndarray:
        """Of the cubic Hermite form on 0..1."""
        return (
            left * (s**4 / 2 - s**3 + s)
            + right * (s**3 - s**4 / 2)
            + left_slope * (s**4 / 4 - 2 * s**3 / 3 + s**2 / 2)
            + right_slope * (s**4 / 4 - s**3 / 3)
        )

    return np.sum(h * (primitive(stop) - primitive(start)), axis=-1)


def pchip_at(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The monotone piecewise cubic through x, y [..., K] at `at` [...], which may be broadcast together; NaN outside the knots."""
    slopes = pchip_slopes(x, y)
    piece = np.clip((at[..., None] >= x).sum(axis=-1) - 1, 0, x.shape[-1] - 2)[..., None]

    def take(values: np.ndarray, offset: int = 0) -> np.ndarray:
        return np.take_along_axis(values, piece + offset, axis=-1)[..., 0]

    h = take(x, 1) - take(x)
    s = (at - take(x)) / h
    value = (
        take(y) * (2 * s**3 - 3 * s**2 + 1)
        + take(y, 1) * (3 * s**2 - 2 * s**3)
        + h * take(slopes) * (s**3 - 2 * s**2 + s)
        + h * take(slopes, 1) * (s**3 - s**2)
    )
    return np.where((at >= x[..., 0]) & (at <= x[..., -1]), value, np.nan)


def percentiles(values: np.ndarray, percents: Sequence[float]) -> np.ndarray:
    """Of each column of `values` [U, K] without its NaN, linear between neighbours: float64 [percents, K]; NaN where there are none."""
    ordered = np.sort(values, axis=0)  # NaN come last
    last = np.isfinite(values).sum(axis=0) - 1
    place = np.maximum(np.asarray(percents)[:, None] / 100 * last, 0.0)
    below = np.floor(place).astype(np.int64)
    columns = np.arange(values.shape[1])
    left, right = ordered[below, columns], ordered[np.minimum(below + 1, np.maximum(last, 0)), columns]
    share = place - below
    return np.where(share < 0.5, left + (right - left) * share, right - (right - left) * (1 - share))  # as NumPy's, to the last bit


def percentile_interval(replicates: np.ndarray, num_clusters: int, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bounds from replicates [B, ...] of any statistic; levels widened as Student's t asks with few clusters (Hesterberg 2015)."""
    if num_clusters < MIN_RESAMPLED:
        nothing = np.full(replicates.shape[1:], np.nan)
        return nothing, nothing
    widening = math.sqrt(num_clusters / (num_clusters - 1))
    tail = special.ndtr(widening * special.stdtrit(num_clusters - 1, (1 - confidence) / 2))
    quantile = np.nanquantile if np.isnan(replicates).any() else np.quantile  # which takes a third of the time
    low, high = quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high
