"""Records -> Table: means with intervals, spreads, rates and counts of every codec at every operating point; no I/O."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.grid import RATES, Grid, Point, floats, grid
from bench.record import CODEC, MetricInfo, detail, failures_of, read_reasons

ALPHA = 0.05
_BITRATES = ("bitrate", "nominal_bitrate")


@dataclass(frozen=True)
class Cell:
    """One metric at one point, in the metric's unit; NaN where nothing was scored.

    mean                        of utterances, or the ratio of corpus totals (WER)
    low, high                   95 % interval of the mean (stats.level_interval); NaN where there are too few clusters
    median, p5, p95             of utterances
    n, failed, not_applicable   utterances; what is left of the row's utterances was not scored (an interrupted run)
    clusters, clustered_by      how many speakers (or utterances) the interval resamples
    hallucinated                utterances with an error rate above HALLUCINATION: part of the mean, whose interval takes them as given
    mark                        "best"; "tied": not significantly worse than the best (Holm over the column); "untested": no test could have
                                found a difference from the best, with so few clusters; or ""
    p_best                      of the paired difference from the best (sign flips, unadjusted); NaN where there is no such test
    """

    mean: float
    low: float
    high: float
    median: float
    p5: float
    p95: float
    n: int
    failed: int
    not_applicable: int
    clusters: int
    clustered_by: str
    hallucinated: int = 0
    mark: str = ""
    p_best: float = math.nan


@dataclass(frozen=True)
class Rates:
    """What a point spends: totals over all encoded utterances over their seconds (Hz, bit/s); NaN where nothing is known.

    bitrate           bitrate_tokens + bitrate_side; the header and the entropy-coded size stand beside it. Of the original audio: that of
                      16-bit PCM at its sample rate, as papers count it
    utterance_mean_*  the same rate as a mean over utterances of their own rates, as some papers count it
    *_rtf             seconds of computation per second of audio, over the utterances that were computed
    """

    frame_rate: float
    token_rate: float
    bitrate: float
    nominal_bitrate: float
    bitrate_tokens: float
    bitrate_side: float
    bitrate_header: float
    bitrate_entropy: float
    nominal_frame_rate: float
    encode_rtf: float
    decode_rtf: float
    peak_memory_mb: float
    utterance_mean_frame_rate: float
    utterance_mean_token_rate: float
    utterance_mean_bitrate: float
    utterance_mean_nominal_bitrate: float


@dataclass(frozen=True)
class Row:
    """One codec at one point, over everything or over one group.

    family          of the codec, "" where it has none
    group           {"language": "de"} and the like; empty overall
    is_stated       the rates are what whoever made the recordings says of them: nothing was counted
    length_error_s  by which a recording is longer than its reference, of the one that is furthest off; negative where it is shorter
    heard_whole     utterances of which the codec hears all before it speaks, by `latency_ms`: it is not causal
    """

    codec: str
    point: str
    kind: str
    family: str
    group: Mapping[str, str]
    utterances: int
    duration_s: float
    rates: Rates
    cells: Mapping[str, Cell]
    is_stated: bool = False
    length_error_s: float = 0.0
    heard_whole: int = 0


@dataclass(frozen=True)
class Table:
    """Rows in the order of the suite, group after group; `metrics` in the order of their columns.

    reasons   metric -> why it does not apply to some utterances, the usual reason first
    """

    rows: tuple[Row, ...]
    metrics: Mapping[str, MetricInfo]
    by: tuple[str, ...] = ()
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def summary(
    records: pd.DataFrame,
    metrics: Mapping[str, MetricInfo],
    *,
    by: Sequence[str] = (),
    nominal_frame_rates: Mapping[Point, float] | None = None,
    seed: int = 0,
) -> Table:
    """The table of `records` (columns of bench.record.Record).

    by                    ("language",) or ("dataset",): one group of rows for each value
    nominal_frame_rates   Hz; where given, their order is the order of the rows
    """
    nominal = nominal_frame_rates or {}
    groups = records.groupby(list(by), sort=True) if by else [((), records)]
    rows: list[Row] = []
    for values, group in groups:
        rows += _rows(group, metrics, dict(zip(by, map(str, values), strict=True)), nominal, seed)
    return Table(tuple(rows), dict(metrics), tuple(by), _reasons(records, metrics))


def _reasons(records: pd.DataFrame, metrics: Mapping[str, MetricInfo]) -> dict[str, tuple[str, ...]]:
    """Metric -> the reasons for which it does not apply to some of `records`, the usual one first."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    cells, texts = pd.factorize(records["not_applicable"])
    for reasons, times in zip(read_reasons(texts), np.bincount(cells[cells >= 0], minlength=len(texts)).tolist(), strict=True):
        for metric, reason in reasons.items():
            counts[metric][reason] += times
    return {name: tuple(reason for reason, _ in counts[name].most_common()) for name in metrics if name in counts}


def _rows(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], group: dict[str, str], nominal: Mapping[Point, float], seed: int
) -> list[Row]:
    laid_out = grid(records, metrics, list(nominal), seed)
    points = laid_out.points
    at = _Columns(records, laid_out)
    kinds = [at.text("kind", number) for number in range(len(points))]
    families = [at.text("family", number) for number in range(len(points))]
    sums = laid_out.sums()
    without = laid_out.sums(hallucinations=False)
    bounds = stats.level_interval(without, stats.resampling_weights(laid_out.num_clusters, seed))
    given = sums.ratio - without.ratio  # what hallucinations add: too rare for any interval to know how rare
    shape = (len(points), len(laid_out.columns))
    mean, low, high = (values.reshape(shape) for values in (sums.ratio, *(bound + given for bound in bounds)))
    hallucinated = laid_out.hallucinated.sum(axis=0)
    clusters = (sums.denominator != 0).sum(axis=0).reshape(shape)
    marks = _marks(laid_out, metrics, mean, [kind != "ceiling" for kind in kinds], seed)
    failed = at.reasons("failures")
    not_applicable = at.reasons("not_applicable")
    cells: list[dict[str, Cell]] = [{} for _ in points]
    for column, metric in enumerate(laid_out.metrics):
        values = at.scores(metric)
        p5, median, p95 = stats.percentiles(values, [5, 50, 95])
        counted = np.isfinite(values).sum(axis=0)
        for number in range(len(points)):
            mark, p_best = marks.get((number, metric), ("", math.nan))
            cells[number][metric] = Cell(
                mean=float(mean[number, column]),
                low=float(low[number, column]),
                high=float(high[number, column]),
                median=float(median[number]),
                p5=float(p5[number]),
                p95=float(p95[number]),
                n=int(counted[number]),
                failed=failed[number][metric] + failed[number][CODEC],
                not_applicable=not_applicable[number][metric],
                clusters=int(clusters[number, column]),
                clustered_by=laid_out.clustered_by,
                hallucinated=int(hallucinated[number, column]),
                mark=mark,
                p_best=p_best,
            )
    rows = []
    for number, point in enumerate(points):
        own = at.own(number)
        total = dict(zip(RATES, mean[number, len(laid_out.metrics) :].tolist(), strict=True))
        rates = _rates(own, kinds[number], total, nominal.get(point, math.nan))
        is_stated = kinds[number] != "ceiling" and bool(((own["bits_total"] == 0) & (own["bitrate"] > 0)).any())
        rows.append(
            Row(
                *point,
                kinds[number],
                families[number],
                group,
                len(own["duration_s"]),
                float(own["duration_s"].sum()),
                rates,
                cells[number],
                is_stated,
                _length_error_s(own),
                int(np.nansum(own["heard_whole"])),
            )
        )
    return rows


_AMOUNTS = (
    *("duration_s", "sample_rate", "length_error", "bits_tokens", "bits_side", "bits_total", "bits_entropy"),
    *("encode_s", "decode_s", "peak_memory_mb"),
    *RATES,
)


class _Columns:
    """Columns of records, point by point of a grid of them."""

    def __init__(self, records: pd.DataFrame, laid_out: Grid):
        self._records = records
        self._point, self._unit = laid_out.point, laid_out.unit
        self._shape = (len(laid_out.cluster), len(laid_out.points))
        self._order = np.argsort(self._point, kind="stable")
        self._starts = np.searchsorted(self._point[self._order], np.arange(len(laid_out.points) + 1))
        self._amounts = {name: floats(records, name)[self._order] for name in _AMOUNTS}
        self._amounts["heard_whole"] = detail(records, "latency_ms", "whole")[self._order]
        self._amounts["computed"] = np.array([CODEC not in reasons for reasons in failures_of(records)])[self._order]

    def own(self, point: int) -> dict[str, np.ndarray]:
        """Amounts of the records of one point, and "computed": whether the codec got so far; in the records' order."""
        return {name: values[self._starts[point] : self._starts[point + 1]] for name, values in self._amounts.items()}

    def text(self, column: str, point: int) -> str:
        """The first of a column that is the same in all records of a point; "" where there is none."""
        value = self._records[column].iloc[self._order[self._starts[point]]] if column in self._records else ""
        return value if isinstance(value, str) else ""

    def scores(self, metric: str) -> np.ndarray:
        """float64 [U, P]; NaN where there is no score."""
        values = floats(self._records, metric)
        laid_out = np.full(self._shape, np.nan)
        laid_out[self._unit, self._point] = np.where(np.isfinite(values), values, np.nan)
        return laid_out

    def reasons(self, column: str) -> list[Counter[str]]:
        """Of each point, how many records have a reason for each key of `column`; one for CODEC counts for nothing else."""
        cells, texts = pd.factorize(self._records[column])
        counts = [Counter[str]() for _ in range(self._shape[1])]
        for cell, reasons in enumerate(read_reasons(texts)):
            if reasons:
                for point, times in enumerate(np.bincount(self._point[cells == cell], minlength=self._shape[1]).tolist()):
                    counts[point].update(dict.fromkeys([CODEC] if CODEC in reasons else reasons, times))
        return counts


def _rates(own: Mapping[str, np.ndarray], kind: str, total: Mapping[str, float], nominal_frame_rate: float) -> Rates:
    duration_s = own["duration_s"]
    encoded = own["bits_total"] > 0
    per_utterance = {name: _mean(own[name][own[name] > 0]) for name in RATES}
    if kind == "ceiling":
        pcm = 16.0 * own["sample_rate"]
        total = {**total, **dict.fromkeys(_BITRATES, _per_second(pcm * duration_s, duration_s))}
        per_utterance |= dict.fromkeys(_BITRATES, _mean(pcm))

    def rtf(seconds: np.ndarray) -> float:
        timed = own["computed"] & (seconds > 0)
        return _per_second(seconds[timed], duration_s[timed])

    tokens, side, total_bits, entropy = (
        _per_second(own[name][encoded], duration_s[encoded]) for name in ("bits_tokens", "bits_side", "bits_total", "bits_entropy")
    )
    return Rates(
        **total,
        bitrate_tokens=tokens,
        bitrate_side=side,
        bitrate_header=total_bits - tokens - side,
        bitrate_entropy=entropy,
        nominal_frame_rate=nominal_frame_rate,
        encode_rtf=rtf(own["encode_s"]),
        decode_rtf=rtf(own["decode_s"]),
        peak_memory_mb=float(np.fmax.reduce(own["peak_memory_mb"])),
        **{f"utterance_mean_{name}": rate for name, rate in per_utterance.items()},
    )


def _length_error_s(own: Mapping[str, np.ndarray]) -> float:
    decoded = own["sample_rate"] > 0
    errors_s = own["length_error"][decoded] / own["sample_rate"][decoded]
    return float(errors_s[np.argmax(np.abs(errors_s))]) if len(errors_s) else 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _per_second(amounts: np.ndarray, seconds: np.ndarray) -> float:
    """The sum of `amounts` over the sum of `seconds`; NaN where there are none."""
    total_s = float(seconds.sum())
    return float(amounts.sum()) / total_s if total_s > 0 else math.nan


def _marks(
    laid_out: Grid, metrics: Mapping[str, MetricInfo], mean: np.ndarray, ranked: Sequence[bool], seed: int
) -> dict[tuple[int, str], tuple[str, float]]:
    """Marks and p: the best point of each metric that ranks; those whose paired difference from it is not significant after Holm, or could
    not be; and the others, unmarked."""
    marks: dict[tuple[int, str], tuple[str, float]] = {}
    columns: list[tuple[str, list[int]]] = []
    differences: list[stats.ClusterSums] = []
    for column, name in enumerate(laid_out.metrics):
        candidates = [point for point in range(len(laid_out.points)) if ranked[point] and np.isfinite(mean[point, column])]
        if metrics[name].diagnostic or len(candidates) < 2:
            continue
        best = max(candidates, key=lambda point: metrics[name].sign * mean[point, column])
        others = [point for point in candidates if point != best]
        marks[best, name] = ("best", math.nan)
        columns.append((name, others))
        differences.append(laid_out.differences(others, best, [column]))
    if not columns:
        return marks
    together = stats.ClusterSums(*(np.hstack([getattr(each, side) for each in differences]) for side in ("numerator", "denominator")))
    p_values, least = stats.sign_flip_p(together, seed), stats.least_p(together)
    first = 0
    for name, others in columns:
        part = slice(first, first + len(others))
        first = part.stop
        # A point that shares no utterance with the best was not tested, and is not marked.
        tests = zip(others, p_values[part].tolist(), stats.holm(p_values[part]), stats.holm(least[part]), strict=True)
        for point, p, adjusted, attainable in tests:
            marks[point, name] = (("tied" if attainable < ALPHA else "untested") if adjusted >= ALPHA else "", p)
    return marks
