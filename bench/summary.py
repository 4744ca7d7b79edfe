"""Records -> Table: means with intervals, spreads, rates and counts of every codec at every operating point; no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench import stats
from bench.metric import MetricInfo
from bench.record import CODEC

Point = tuple[str, str]  # codec label, point name

RATES = ("frame_rate", "token_rate", "bitrate", "nominal_bitrate")  # columns of Record that are amounts per second of audio
MAX_CLUSTERS = 500  # more are pooled at random: independent clusters stay so, and the cost of resampling stays bounded
ALPHA = 0.05


@dataclass(frozen=True)
class Grid:
    """Scores and rates aligned by utterance, each as a numerator and a denominator, ready to be resampled and paired.

    points                   P of them
    columns                  M names: metrics, then RATES
    cluster                  int64 [U], what is resampled as a whole
    clustered_by             "speaker" or "utterance"
    numerator, denominator   float64 [U, P, M]; both 0 where there is no value
    """

    points: tuple[Point, ...]
    columns: tuple[str, ...]
    cluster: np.ndarray
    clustered_by: str
    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def num_clusters(self) -> int:
        return int(self.cluster.max()) + 1

    def at(self, points: Sequence[int], columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Numerators and denominators of some points and columns, [U, len(points), len(columns)]."""
        return self.numerator[:, points][:, :, columns], self.denominator[:, points][:, :, columns]

    def sums(self) -> stats.ClusterSums:
        """Columns in the order point, then column: [C, P * M]."""
        flat = (len(self.cluster), -1)
        return stats.cluster_sums(self.numerator.reshape(flat), self.denominator.reshape(flat), self.cluster)

    def differences(self, minuends: Sequence[int], subtrahend: int, columns: Sequence[int]) -> stats.ClusterSums:
        """Points `minuends` less one point, over the utterances where both have a value: [C, len(minuends) * len(columns)]."""
        top, bottom = self.at(minuends, columns)
        other_top, other_bottom = self.at([subtrahend], columns)
        both = (bottom > 0) & (other_bottom > 0)
        if not np.allclose(np.where(both, bottom, 0.0), np.where(both, other_bottom, 0.0)):
            raise ValueError("two points count different words or seconds for one utterance: they were not run on the same data")
        flat = (len(self.cluster), -1)
        numerator, denominator = np.where(both, top - other_top, 0.0), np.where(both, bottom, 0.0)
        return stats.cluster_sums(numerator.reshape(flat), denominator.reshape(flat), self.cluster)


@dataclass(frozen=True)
class Cell:
    """One metric at one point, in the metric's unit; NaN where nothing was scored.

    mean                        of utterances, or the ratio of corpus totals (WER)
    low, high                   95 % interval of the mean; NaN where there are too few clusters
    median, p5, p95             of utterances
    n, failed, not_applicable   utterances; what is left of the row's utterances was not scored (an interrupted run)
    mark                        "best", "tied" (not significantly worse than the best, Holm over the column), or ""
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
    mark: str = ""


@dataclass(frozen=True)
class Rates:
    """What a point spends: totals over all encoded utterances over their seconds (Hz, bit/s); NaN where nothing is known.

    bitrate     bitrate_tokens + bitrate_side; the header and the entropy-coded size stand beside it
    *_rtf       seconds of computation per second of audio
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


@dataclass(frozen=True)
class Row:
    """One codec at one point, over everything or over one group.

    group       {"language": "de"} and the like; empty overall
    clusters    how many `clustered_by` (speakers or utterances) the intervals resample
    """

    codec: str
    point: str
    kind: str
    group: Mapping[str, str]
    utterances: int
    duration_s: float
    clusters: int
    clustered_by: str
    rates: Rates
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """Rows in the order of the suite, group after group; `metrics` in the order of their columns."""

    rows: tuple[Row, ...]
    metrics: Mapping[str, MetricInfo]
    by: tuple[str, ...] = ()


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
    return Table(tuple(rows), dict(metrics), tuple(by))


def grid(records: pd.DataFrame, metrics: Mapping[str, MetricInfo], order: Sequence[Point] = (), seed: int = 0) -> Grid:
    """`records` laid out by utterance and point; points in `order`, then as they come."""
    pairs = list(zip(records["codec"].astype(str), records["point"].astype(str), strict=True))
    present = dict.fromkeys(pairs)
    points = tuple(point for point in order if point in present)
    points += tuple(point for point in present if point not in set(points))
    index = {point: number for number, point in enumerate(points)}
    point_code = np.array([index[pair] for pair in pairs])
    unit_code, units = pd.factorize(records["dataset"].astype(str) + "\0" + records["utterance"].astype(str))
    if len(np.unique(unit_code * len(points) + point_code)) < len(records):
        raise ValueError("records hold an utterance twice at one point")

    columns = (*metrics, *RATES)
    numerator = np.zeros((len(units), len(points), len(columns)))
    denominator = np.zeros_like(numerator)
    duration_s = records["duration_s"].to_numpy(np.float64)
    for number, column in enumerate(columns):
        value = _floats(records, column)
        if column in RATES:
            top, bottom, counted = value * duration_s, duration_s, value > 0
        elif metrics[column].corpus_ratio:
            scale = 100.0 if metrics[column].unit == "%" else 1.0
            top, bottom = scale * _floats(records, f"{column}:errors"), _floats(records, f"{column}:words")
            counted = np.isfinite(value) & np.isfinite(top) & (bottom > 0)
        else:
            top, bottom, counted = value, np.ones_like(value), np.isfinite(value)
        numerator[unit_code, point_code, number] = np.where(counted, top, 0.0)
        denominator[unit_code, point_code, number] = np.where(counted, bottom, 0.0)
    cluster, clustered_by = _clusters(records, unit_code, seed)
    return Grid(points, columns, cluster, clustered_by, numerator, denominator)


def _floats(records: pd.DataFrame, column: str) -> np.ndarray:
    """float64 [rows] of a column; NaN throughout where no record has it (a metric that failed or did not apply everywhere)."""
    if column not in records:
        return np.full(len(records), np.nan)
    return records[column].to_numpy(np.float64, na_value=np.nan)


def _clusters(records: pd.DataFrame, unit_code: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """The cluster of each utterance, int64 [U], and what a cluster is; utterances without a known speaker stand alone."""
    _, first_rows = np.unique(unit_code, return_index=True)
    units = records.iloc[first_rows]
    speaker = units["speaker"].fillna("").astype(str)
    within = units["dataset"].astype(str) + "\0"
    enough = (within + speaker)[speaker != ""].nunique() >= stats.MIN_SPEAKERS
    alone = "\0" + units["utterance"].astype(str)
    code, clusters = pd.factorize(within + (speaker.where(speaker != "", alone) if enough else alone))
    if len(clusters) > MAX_CLUSTERS:
        code = np.random.default_rng(seed).permutation(len(clusters))[code] % MAX_CLUSTERS
    return code.astype(np.int64), "speaker" if enough else "utterance"


def _rows(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], group: dict[str, str], nominal: Mapping[Point, float], seed: int
) -> list[Row]:
    laid_out = grid(records, metrics, list(nominal), seed)
    sums = laid_out.sums()
    resampled = stats.bootstrap(sums, stats.resampling_weights(laid_out.num_clusters, seed))
    shape = (len(laid_out.points), len(laid_out.columns))
    low, high = (bound.reshape(shape) for bound in resampled.interval())
    mean = resampled.estimate.reshape(shape)
    clusters = len(np.unique(laid_out.cluster))

    by_point = {point: rows for point, rows in records.groupby(["codec", "point"], sort=False)}
    kinds = [str(by_point[point]["kind"].iloc[0]) for point in laid_out.points]
    marks = _marks(laid_out, metrics, mean, [kind != "ceiling" for kind in kinds], seed)
    rows = []
    for number, point in enumerate(laid_out.points):
        of_point = by_point[point]
        failed, not_applicable = _reasons(of_point["failures"]), _reasons(of_point["not_applicable"])
        cells = {}
        for column, metric in enumerate(metrics):
            values = _floats(of_point, metric)
            values = values[np.isfinite(values)]
            p5, median, p95 = np.percentile(values, [5, 50, 95]) if len(values) else (np.nan,) * 3
            cells[metric] = Cell(
                mean=float(mean[number, column]),
                low=float(low[number, column]),
                high=float(high[number, column]),
                median=float(median),
                p5=float(p5),
                p95=float(p95),
                n=len(values),
                failed=int((failed(metric) | failed(CODEC)).sum()),
                not_applicable=int(not_applicable(metric).sum()),
                mark=marks.get((number, metric), ""),
            )
        total = dict(zip(RATES, mean[number, len(metrics) :], strict=True))
        rates = _rates(of_point, total, nominal.get(point, float("nan")))
        duration_s = float(of_point["duration_s"].sum())
        rows.append(Row(*point, kinds[number], group, len(of_point), duration_s, clusters, laid_out.clustered_by, rates, cells))
    return rows


def _reasons(column: pd.Series) -> Callable[[str], np.ndarray]:
    """Which rows of a JSON column {metric: reason} name a metric; equal texts, nearly all of them, are parsed once."""
    code, texts = pd.factorize(column.fillna("{}").astype(str))
    named = [json.loads(text) for text in texts]
    return lambda metric: np.array([metric in reasons for reasons in named], dtype=bool)[code]


def _rates(records: pd.DataFrame, total: Mapping[str, float], nominal_frame_rate: float) -> Rates:
    encoded = records[records["bits_total"] > 0]
    encoded_s = float(encoded["duration_s"].sum())
    all_s = float(records["duration_s"].sum())

    def per_second(amount: float, seconds: float) -> float:
        return amount / seconds if seconds > 0 else float("nan")

    tokens, side, total_bits, entropy = (
        per_second(float(encoded[name].sum()), encoded_s) for name in ("bits_tokens", "bits_side", "bits_total", "bits_entropy")
    )
    return Rates(
        **total,
        bitrate_tokens=tokens,
        bitrate_side=side,
        bitrate_header=total_bits - tokens - side,
        bitrate_entropy=entropy,
        nominal_frame_rate=nominal_frame_rate,
        encode_rtf=per_second(float(records["encode_s"].sum()), all_s),
        decode_rtf=per_second(float(records["decode_s"].sum()), all_s),
        peak_memory_mb=float(records["peak_memory_mb"].max()),
    )


def _marks(
    laid_out: Grid, metrics: Mapping[str, MetricInfo], mean: np.ndarray, ranked: Sequence[bool], seed: int
) -> dict[tuple[int, str], str]:
    """The best point of each metric that ranks, and those whose paired difference from it is not significant after Holm."""
    marks: dict[tuple[int, str], str] = {}
    for column, (name, info) in enumerate(metrics.items()):
        candidates = [p for p in range(len(laid_out.points)) if ranked[p] and np.isfinite(mean[p, column])]
        if info.diagnostic or len(candidates) < 2:
            continue
        sign = 1.0 if info.higher_is_better else -1.0
        best = max(candidates, key=lambda p: sign * mean[p, column])
        others = [p for p in candidates if p != best]
        p_values = stats.sign_flip_p(laid_out.differences(others, best, [column]), seed)
        marks[best, name] = "best"
        # A point that shares no utterance with the best was not tested, and is not marked.
        marks |= {(p, name): "tied" for p, adjusted in zip(others, stats.holm(p_values), strict=True) if adjusted >= ALPHA}
    return marks
