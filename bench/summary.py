"""Records -> Table: means with intervals, spreads, rates and counts of every codec at every operating point; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.metric import MetricInfo
from bench.record import CODEC

Point = tuple[str, str]  # codec label, point name

RATES = ("frame_rate", "token_rate", "bitrate", "nominal_bitrate")  # columns of Record that are amounts per second of audio
MAX_CLUSTERS = 500  # more are pooled at random: independent clusters stay so, and the cost of resampling stays bounded
ALPHA = 0.05
_CLUSTERED_BY = {True: "speaker", False: "utterance"}


@dataclass(frozen=True)
class Grid:
    """Scores and rates aligned by utterance, each as a numerator and a denominator, ready to be resampled and paired.

    points                   P of them
    metrics                  those that are resampled by the same clusters
    columns                  M names: metrics, then RATES
    cluster                  int64 [U], what is resampled as a whole
    clustered_by             "speaker" or "utterance"
    numerator, denominator   float64 [U, P, M]; both 0 where there is no value
    """

    points: tuple[Point, ...]
    metrics: tuple[str, ...]
    cluster: np.ndarray
    clustered_by: str
    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.metrics, *RATES)

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
    clusters, clustered_by      how many speakers (or utterances) the interval resamples
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
    clusters: int
    clustered_by: str
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

    group   {"language": "de"} and the like; empty overall
    """

    codec: str
    point: str
    kind: str
    group: Mapping[str, str]
    utterances: int
    duration_s: float
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
    """`records` laid out by utterance and point, with one clustering for all metrics; points in `order`, then as they are met."""
    points, numerator, denominator = _lay_out(records, metrics, order)
    speaker = _speakers(records)
    by_speaker = _enough(speaker)
    return Grid(points, tuple(metrics), _clusters(speaker, by_speaker, seed), _CLUSTERED_BY[by_speaker], numerator, denominator)


def grids(records: pd.DataFrame, metrics: Mapping[str, MetricInfo], order: Sequence[Point] = (), seed: int = 0) -> tuple[Grid, ...]:
    """As `grid`, in one or two grids: the metrics with enough speakers, and those with too few, with the same points in both.

    A metric that applies to one language only may have too few speakers where the others have enough.
    """
    points, numerator, denominator = _lay_out(records, metrics, order)
    speaker = _speakers(records)
    scored = np.any(denominator > 0, axis=1)
    enough = [_enough(speaker[scored[:, number]]) for number in range(len(metrics))]
    laid_out = []
    for by_speaker in (True, False):
        numbers = [number for number in range(len(metrics)) if enough[number] == by_speaker]
        if numbers:
            names = tuple(name for number, name in enumerate(metrics) if number in numbers)
            these = numbers + list(range(len(metrics), numerator.shape[2]))
            cluster = _clusters(speaker, by_speaker, seed)
            laid_out.append(Grid(points, names, cluster, _CLUSTERED_BY[by_speaker], numerator[:, :, these], denominator[:, :, these]))
    return tuple(laid_out)


def _lay_out(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], order: Sequence[Point]
) -> tuple[tuple[Point, ...], np.ndarray, np.ndarray]:
    """Points, and numerators and denominators float64 [U, P, M] of metrics and RATES."""
    pairs = list(zip(records["codec"].astype(str), records["point"].astype(str), strict=True))
    present = dict.fromkeys(pairs)
    points = tuple(dict.fromkeys([point for point in order if point in present] + list(present)))
    index = {point: number for number, point in enumerate(points)}
    point_code = np.array([index[pair] for pair in pairs])
    unit_code, units = _units(records)
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
    return points, numerator, denominator


def _units(records: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
    """The number of each row's utterance, int64 [rows], and the utterances, as first met."""
    return pd.factorize(records["dataset"].astype(str) + "\0" + records["utterance"].astype(str))


def _floats(records: pd.DataFrame, column: str) -> np.ndarray:
    """float64 [rows] of a column; NaN throughout where no record has it (a metric that failed or did not apply everywhere)."""
    if column not in records:
        return np.full(len(records), np.nan)
    return records[column].to_numpy(np.float64, na_value=np.nan)


def _speakers(records: pd.DataFrame) -> np.ndarray:
    """The number of each utterance's speaker, int64 [U]; -1 where unknown."""
    _, first_rows = np.unique(_units(records)[0], return_index=True)
    utterances = records.iloc[first_rows]
    name = utterances["speaker"].fillna("").astype(str)
    return pd.factorize((utterances["dataset"].astype(str) + "\0" + name).where(name != ""))[0]


def _enough(speaker: np.ndarray) -> bool:
    return len(np.unique(speaker[speaker >= 0])) >= stats.MIN_SPEAKERS


def _clusters(speaker: np.ndarray, by_speaker: bool, seed: int) -> np.ndarray:
    """The cluster of each utterance, int64 [U]; those of unknown speakers stand alone."""
    cluster = np.arange(len(speaker))
    if by_speaker:
        cluster = np.unique(np.where(speaker >= 0, speaker, cluster + speaker.max() + 1), return_inverse=True)[1]
    count = int(cluster.max()) + 1
    return np.random.default_rng(seed).permutation(count)[cluster] % MAX_CLUSTERS if count > MAX_CLUSTERS else cluster


def _rows(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], group: dict[str, str], nominal: Mapping[Point, float], seed: int
) -> list[Row]:
    laid_out = grids(records, metrics, list(nominal), seed)
    points = laid_out[0].points
    by_point = dict(list(records.groupby(["codec", "point"], sort=False)))
    kinds = [str(by_point[point]["kind"].iloc[0]) for point in points]
    ranked = [kind != "ceiling" for kind in kinds]
    cells: list[dict[str, Cell]] = [{} for _ in points]
    totals: list[dict[str, float]] = [{} for _ in points]
    for part in laid_out:
        sums = part.sums()
        resampled = stats.bootstrap(sums, stats.resampling_weights(part.num_clusters, seed))
        shape = (len(points), len(part.columns))
        mean, low, high = (bound.reshape(shape) for bound in (resampled.estimate, *resampled.interval()))
        clusters = (sums.denominator != 0).sum(axis=0).reshape(shape)
        marks = _marks(part, metrics, mean, ranked, seed)
        for number, point in enumerate(points):
            for column, metric in enumerate(part.metrics):
                cells[number][metric] = _cell(
                    by_point[point],
                    metric,
                    mean=float(mean[number, column]),
                    low=float(low[number, column]),
                    high=float(high[number, column]),
                    clusters=int(clusters[number, column]),
                    clustered_by=part.clustered_by,
                    mark=marks.get((number, metric), ""),
                )
            totals[number] = dict(zip(RATES, mean[number, len(part.metrics) :].tolist(), strict=True))
    return [
        Row(
            *point,
            kinds[number],
            group,
            len(by_point[point]),
            float(by_point[point]["duration_s"].sum()),
            _rates(by_point[point], totals[number], nominal.get(point, float("nan"))),
            {metric: cells[number][metric] for metric in metrics},
        )
        for number, point in enumerate(points)
    ]


def _cell(records: pd.DataFrame, metric: str, **resampled: Any) -> Cell:
    """What was resampled, with the spread and the counts of the point's `records`."""
    values = _floats(records, metric)
    values = values[np.isfinite(values)]
    p5, median, p95 = np.percentile(values, [5, 50, 95]).tolist() if len(values) else (float("nan"),) * 3
    failed = _named(records["failures"], metric) | _named(records["failures"], CODEC)
    not_applicable = _named(records["not_applicable"], metric)
    return Cell(
        median=median, p5=p5, p95=p95, n=len(values), failed=int(failed.sum()), not_applicable=int(not_applicable.sum()), **resampled
    )


def _named(column: pd.Series, name: str) -> np.ndarray:
    """Which rows of a JSON column {metric: reason} hold `name`, bool [rows]; equal texts, nearly all of them, are parsed once."""
    code, texts = pd.factorize(column.fillna("{}").astype(str))
    return np.array([name in json.loads(text) for text in texts], dtype=bool)[code]


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
    part: Grid, metrics: Mapping[str, MetricInfo], mean: np.ndarray, ranked: Sequence[bool], seed: int
) -> dict[tuple[int, str], str]:
    """The best point of each metric that ranks, and those whose paired difference from it is not significant after Holm."""
    marks: dict[tuple[int, str], str] = {}
    for column, name in enumerate(part.metrics):
        candidates = [point for point in range(len(part.points)) if ranked[point] and np.isfinite(mean[point, column])]
        if metrics[name].diagnostic or len(candidates) < 2:
            continue
        sign = 1.0 if metrics[name].higher_is_better else -1.0
        best = max(candidates, key=lambda point: sign * mean[point, column])
        others = [point for point in candidates if point != best]
        p_values = stats.sign_flip_p(part.differences(others, best, [column]), seed)
        marks[best, name] = "best"
        # A point that shares no utterance with the best was not tested, and is not marked.
        marks |= {(point, name): "tied" for point, adjusted in zip(others, stats.holm(p_values), strict=True) if adjusted >= ALPHA}
    return marks
