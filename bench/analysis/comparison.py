"""Paired differences, rate-quality curves, BD-rate and Pareto front; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.grid import Grid, Point, grid
from bench.errors import UserError, unknown
from bench.record import MetricInfo, ranking

AGAINST = ("bitrate", "token_rate", "frame_rate")  # what quality is drawn and compared against
MIN_OVERLAP = 10.0  # % of the qualities; of curves that share less, no average is told
MAX_UNDEFINED = 0.05  # of a bootstrap's replicates, those whose curves do not overlap; more, and there is no honest interval


@dataclass(frozen=True)
class Difference:
    """A metric at one point less the same at the baseline, over the utterances that both have, in the metric's unit.

    low, high               95 % interval (Student's t over clusters)
    p, p_holm               paired sign-flip test, and adjusted for all differences of the comparison but those of the original audio, whose
                            p_holm is NaN
    better, equal, worse    utterances, in the direction that the metric calls better
    """

    codec: str
    point: str
    metric: str
    n: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class CurveDifference:
    """Bjontegaard's averages between two curves: `codec` against `baseline`, each a family of codecs or a codec.

    bd_rate        % more of `against` that `codec` spends at equal quality (negative: it saves), averaged over `quality_overlap`
    bd_quality     metric's unit, at equal rate, averaged over the logarithm of the rate in `rate_overlap`
    *_low, *_high  95 % interval (percentile bootstrap of both curves together); NaN where too many resamples do not overlap
    overlap        % of the qualities of both curves together that both reach: what BD-rate averages over
    points         used of each curve; dropped: left out, as another of the same curve is no dearer and no worse
    undefined      why there is no number, or ""
    """

    codec: str
    baseline: str
    metric: str
    against: str
    bd_rate: float = float("nan")
    bd_rate_low: float = float("nan")
    bd_rate_high: float = float("nan")
    bd_quality: float = float("nan")
    bd_quality_low: float = float("nan")
    bd_quality_high: float = float("nan")
    quality_overlap: tuple[float, float] = (float("nan"), float("nan"))
    rate_overlap: tuple[float, float] = (float("nan"), float("nan"))
    overlap: float = float("nan")
    points: tuple[int, int] = (0, 0)
    dropped: tuple[Point, ...] = ()
    undefined: str = ""


@dataclass(frozen=True)
class EqualRate:
    """What a curve, `codec`, would reach at the rate of one point of another, by interpolation, less what that point reaches.

    rate         Hz or bit/s, measured
    difference   metric's unit; low, high: 95 % interval (percentile bootstrap)
    """

    codec: str
    baseline: Point
    metric: str
    against: str
    rate: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Everything against one point. `pareto` holds (metric, against) -> points that no other beats in both."""

    baseline: Point
    differences: tuple[Difference, ...]
    curves: tuple[CurveDifference, ...]
    equal_rates: tuple[EqualRate, ...]
    pareto: Mapping[tuple[str, str], tuple[Point, ...]]


@dataclass(frozen=True)
class Paired:
    """Differences of several points from one, as arrays [points, metrics]; see `Difference`."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    n: np.ndarray
    better: np.ndarray
    worse: np.ndarray


@dataclass(frozen=True)
class Curves:
    """Every point's rates and metrics, with the estimate first and its bootstrap replicates after it.

    points     P of them
    names      P names, of the curve that each point lies on
    values     column -> float64 [1 + B, P]
    clusters   column -> how many were resampled
    """

    points: tuple[Point, ...]
    names: tuple[str, ...]
    values: Mapping[str, np.ndarray]
    clusters: Mapping[str, int]

    def of(self, curve: str) -> list[int]:
        """The numbers of the points on a curve, or of one codec of a family."""
        on_it = [number for number, name in enumerate(self.names) if name == curve]
        return on_it or [number for number, (codec, _) in enumerate(self.points) if codec == curve]


def compare(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], baseline: Point, *, order: Sequence[Point] = (), seed: int = 0
) -> Comparison:
    """Every point and every codec's curve against `baseline`; diagnostics are not compared, the ceiling only by differences."""
    ranked = ranking(metrics)
    laid_out = grid(records, ranked, order, seed)
    points = laid_out.points
    others = [number for number, point in enumerate(points) if point != baseline]
    paired = paired_differences(laid_out, ranked, others, points.index(baseline), seed)
    ceilings = set(records.loc[records["kind"] == "ceiling", "codec"])
    is_ceiling = np.array([points[number][0] in ceilings for number in others], dtype=bool)
    p_holm = stats.holm(np.where(is_ceiling[:, None], np.nan, paired.p))
    differences = [
        _difference(points[number], metric, paired, (row, column), float(p_holm[row, column]))
        for row, number in enumerate(others)
        for column, metric in enumerate(ranked)
        if paired.n[row, column]
    ]
    curves = resampled_curves(laid_out, seed)
    codecs = [codec for codec in dict.fromkeys(codec for codec, _ in points) if codec not in ceilings]
    names = dict(zip(points, laid_out.curves, strict=True))
    others_curves = dict.fromkeys(names[point] for point in points if point[0] not in ceilings and names[point] != names[baseline])
    tasks = [(curve, info, against) for curve in others_curves for info in ranked.values() for against in AGAINST]
    equal_rates = [
        at_equal_rate(curves, info, against, curve, number)
        for curve, info, against in tasks
        for number, point in enumerate(points)
        if names[point] == names[baseline]
    ]
    return Comparison(
        baseline,
        tuple(differences),
        tuple(curve_difference(curves, info, against, curve, names[baseline]) for curve, info, against in tasks),
        tuple(equal for equal in equal_rates if equal is not None),
        {(info.name, against): pareto_points(curves, info, against, codecs) for info in ranked.values() for against in AGAINST},
    )


def find_point(name: str, points: Iterable[Point]) -> Point:
    """The point that `CODEC@POINT` names; UserError lists the choices."""
    known = {f"{codec}@{point}": (codec, point) for codec, point in points}
    if name not in known:
        raise UserError(unknown("baseline", name, known))
    return known[name]


def _difference(point: Point, metric: str, paired: Paired, at: tuple[int, int], p_holm: float) -> Difference:
    n, better, worse = int(paired.n[at]), int(paired.better[at]), int(paired.worse[at])
    mean, low, high, p = (float(values[at]) for values in (paired.mean, paired.low, paired.high, paired.p))
    return Difference(*point, metric, n, mean, low, high, p, p_holm, better, n - better - worse, worse)


def paired_differences(laid_out: Grid, metrics: Mapping[str, MetricInfo], minuends: Sequence[int], baseline: int, seed: int) -> Paired:
    """Points `minuends` less `baseline`, by number in the grid, in each of `metrics`."""
    columns = [laid_out.columns.index(name) for name in metrics]
    shape = (len(minuends), len(columns))
    sums = laid_out.differences(minuends, baseline, columns)
    found = stats.ratios(sums)
    mean, low, high = (values.reshape(shape) for values in (found.estimate, *found.student()))
    p = stats.sign_flip_p(sums, seed).reshape(shape)
    upward = np.array([info.sign for info in metrics.values()])
    # NaN where one of the two is missing, which is neither better nor worse.
    gain = upward * (stats.divide(*laid_out.at(minuends, columns)) - stats.divide(*laid_out.at([baseline], columns)))
    return Paired(mean, low, high, p, np.isfinite(gain).sum(axis=0), (gain > 0).sum(axis=0), (gain < 0).sum(axis=0))


def resampled_curves(laid_out: Grid, seed: int) -> Curves:
    """All columns of all points, resampled together: rates and qualities of two codecs vary with the utterances drawn."""
    sums = laid_out.sums()
    weights = stats.resampling_weights(laid_out.num_clusters, seed)
    values, clusters = {}, {}
    for number, name in enumerate(laid_out.columns):
        column = slice(number, None, len(laid_out.columns))
        own = stats.ClusterSums(sums.numerator[:, column], sums.denominator[:, column])
        values[name] = np.vstack([own.ratio, stats.resample_ratios(own, weights)])
        clusters[name] = int((own.denominator != 0).sum(axis=0).max())
    return Curves(laid_out.points, laid_out.curves, values, clusters)


def curve_difference(curves: Curves, info: MetricInfo, against: str, codec: str, baseline: str) -> CurveDifference:
    """BD-rate and BD-quality (Bjontegaard 2001) with the piecewise cubic of JCTVC-L1100 over the logarithm of the rate."""
    names = CurveDifference(codec, baseline, info.name, against)
    pair = [_curve(curves, info, against, label) for label in (codec, baseline)]
    replicates = len(pair[0][0])
    bd = np.full((2, replicates), np.nan)
    overlaps = np.full((2, 2, replicates), np.nan)
    used, span = (0, 0), float("nan")
    for rows, ((rate, quality), (base_rate, base_quality)) in _same_shape(pair):
        if rows[0] == 0:
            used = (rate.shape[1], base_rate.shape[1])
            span = max(quality[0, -1], base_quality[0, -1]) - min(quality[0, 0], base_quality[0, 0])
        for number, (x, y, base_x, base_y) in enumerate(
            ((quality, rate, base_quality, base_rate), (rate, quality, base_rate, base_quality))
        ):
            low, high = np.maximum(x[:, 0], base_x[:, 0]), np.minimum(x[:, -1], base_x[:, -1])
            meet = low < high
            low, high = low[meet], high[meet]
            area = stats.pchip_integral(x[meet], y[meet], low, high) - stats.pchip_integral(base_x[meet], base_y[meet], low, high)
            bd[number, rows[meet]] = area / (high - low)
            overlaps[number, :, rows[meet]] = np.stack([low, high], axis=1)
    names = replace(names, dropped=tuple(point for label in (codec, baseline) for point in dropped_points(curves, info, against, label)))
    if min(used) < 2:
        return replace(names, undefined="a curve has fewer than two rates at which its quality rises")
    if np.isnan(bd[0, 0]):
        return replace(names, overlap=0.0, undefined="the curves share no quality")
    overlap = float(100 * (overlaps[0, 1, 0] - overlaps[0, 0, 0]) / span)
    if overlap < MIN_OVERLAP:
        too_little = f"the curves share {overlap:.2g} % of their qualities, less than {MIN_OVERLAP:g} %"
        return replace(names, overlap=overlap, undefined=too_little)
    bd_rate, bd_quality = 100 * (10 ** bd[0] - 1), info.sign * bd[1]
    rate_low, rate_high = _interval(bd_rate, curves.clusters[info.name])
    quality_low, quality_high = _interval(bd_quality, curves.clusters[info.name])
    quality_from, quality_to = sorted(info.sign * overlaps[0, :, 0])
    return replace(
        names,
        bd_rate=float(bd_rate[0]),
        bd_rate_low=rate_low,
        bd_rate_high=rate_high,
        bd_quality=float(bd_quality[0]),
        bd_quality_low=quality_low,
        bd_quality_high=quality_high,
        quality_overlap=(float(quality_from), float(quality_to)),
        rate_overlap=(float(10 ** overlaps[1, 0, 0]), float(10 ** overlaps[1, 1, 0])),
        overlap=overlap,
        points=used,
    )


def dropped_points(curves: Curves, info: MetricInfo, against: str, curve: str) -> tuple[Point, ...]:
    """Points of a curve that take no part in its averages: another is no dearer and no worse, or they were not measured."""
    rate, quality = (values[:1] for values in _curve(curves, info, against, curve))
    order, keep = _rising(rate, quality)
    numbers = np.array(curves.of(curve), dtype=np.int64)
    return tuple(curves.points[number] for number in sorted(numbers[order[0][~keep[0]]].tolist()))


def at_equal_rate(curves: Curves, info: MetricInfo, against: str, codec: str, point: int) -> EqualRate | None:
    """The curve of `codec` at the measured rate of `point`, less that point; None where the curve does not reach there."""
    return at_equal_rates(curves, info, against, codec, [point])[0]


def at_equal_rates(curves: Curves, info: MetricInfo, against: str, codec: str, points: Sequence[int]) -> list[EqualRate | None]:
    """As `at_equal_rate`, of several points."""
    target_rate, target = curves.values[against][:, points], curves.values[info.name][:, points]
    gains = np.full(target.shape, np.nan)
    for rows, ((rate, quality),) in _same_shape([_curve(curves, info, against, codec)]):
        reached = stats.pchip_at(rate[:, None], quality[:, None], np.log10(target_rate[rows]))
        gains[rows] = info.sign * reached - target[rows]
    found: list[EqualRate | None] = []
    for number, point in enumerate(points):
        gain = gains[:, number]
        if np.isnan(gain[0]):
            found.append(None)
        else:
            low, high = _interval(gain, curves.clusters[info.name])
            place = (codec, curves.points[point], info.name, against, float(target_rate[0, number]))
            found.append(EqualRate(*place, float(gain[0]), low, high))
    return found


def pareto_points(curves: Curves, info: MetricInfo, against: str, codecs: Sequence[str]) -> tuple[Point, ...]:
    """Points of `codecs` that no other matches in rate and quality and beats in one of them, by rising rate."""
    numbers = [number for number, (codec, _) in enumerate(curves.points) if codec in codecs]
    rate, quality = curves.values[against][0], info.sign * curves.values[info.name][0]
    known = {number: (rate[number], quality[number]) for number in numbers if np.isfinite(rate[number] + quality[number])}
    front = [
        number
        for number, (r, q) in known.items()
        if not any(other_r <= r and other_q >= q and (other_r, other_q) != (r, q) for other_r, other_q in known.values())
    ]
    return tuple(curves.points[number] for number in sorted(front, key=lambda number: known[number]))


def _curve(curves: Curves, info: MetricInfo, against: str, codec: str) -> tuple[np.ndarray, np.ndarray]:
    """log10 of the rate and the quality (upward) of a codec's points, float64 [1 + B, K] each."""
    numbers = curves.of(codec)
    return np.log10(curves.values[against][:, numbers]), info.sign * curves.values[info.name][:, numbers]


def _same_shape(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]:
    """Replicates grouped by which points of the curves rise: (rows, curves with rising rate and quality), of two points or more.

    A point with no better quality than one of less rate is left out, as nobody would use it; nor could the curve be inverted there.
    """
    rising, shapes = [], []
    for rate, quality in curves:
        order, keep = _rising(rate, quality)
        rising.append((np.take_along_axis(rate, order, axis=-1), np.take_along_axis(quality, order, axis=-1)))
        shapes.append(keep)
    keep = np.concatenate(shapes, axis=-1)
    code = keep @ (1 << np.arange(keep.shape[-1], dtype=np.int64))
    for first in np.unique(code, return_index=True)[1]:
        shape, rows = keep[first], np.flatnonzero(code == code[first])
        masks = np.split(shape, np.cumsum([part.shape[-1] for part in shapes])[:-1])
        if all(mask.sum() >= 2 for mask in masks):
            yield rows, [(rate[rows][:, mask], quality[rows][:, mask]) for (rate, quality), mask in zip(rising, masks, strict=True)]


def _rising(rate: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of points by rate, int64 [1 + B, K], and in that order which are better than all cheaper ones, bool [1 + B, K]."""
    step = np.round(rate, 3)  # rates within 0.2 % are one rate
    order = np.lexsort((-quality, step), axis=-1)
    rate, quality = np.take_along_axis(rate, order, axis=-1), np.take_along_axis(quality, order, axis=-1)
    filled = np.where(np.isfinite(quality) & np.isfinite(rate), quality, -np.inf)
    best_before = np.maximum.accumulate(filled, axis=-1)
    return order, np.concatenate([filled[:, :1] > -np.inf, filled[:, 1:] > best_before[:, :-1]], axis=-1)


def _interval(values: np.ndarray, clusters: int) -> tuple[float, float]:
    """95 % bounds of a statistic [1 + B] whose first value is the estimate."""
    if np.isnan(values[1:]).mean() > MAX_UNDEFINED:
        return float("nan"), float("nan")
    low, high = stats.percentile_interval(values[1:], clusters)
    return float(low), float(high)
