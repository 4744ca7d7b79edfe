"""Records -> Table: means with intervals, spreads, rates and counts of every codec at every operating point; no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.grid import RATES, Grid, Point, floats, grid
from bench.record import CODEC, MetricInfo, failures_of, not_applicable_of

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
    for reasons in not_applicable_of(records):
        for metric, reason in reasons.items():
            counts[metric][reason] += 1
    return {name: tuple(reason for reason, _ in counts[name].most_common()) for name in metrics if name in counts}


def _rows(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], group: dict[str, str], nominal: Mapping[Point, float], seed: int
) -> list[Row]:
    laid_out = grid(records, metrics, list(nominal), seed)
    points = laid_out.points
    by_point = dict(list(records.groupby(["codec", "point"], sort=False)))
    kinds = [str(by_point[point]["kind"].iloc[0]) for point in points]
    families = [str(by_point[point].get("family", pd.Series([""])).fillna("").iloc[0]) for point in points]
    ranked = [kind != "ceiling" for kind in kinds]
    cells: list[dict[str, Cell]] = [{} for _ in points]
    totals: list[dict[str, float]] = [{} for _ in points]
    sums = laid_out.sums()
    without = laid_out.sums(hallucinations=False)
    bounds = stats.level_interval(without, stats.resampling_weights(laid_out.num_clusters, seed))
    given = sums.ratio - without.ratio  # what hallucinations add: too rare for any interval to know how rare
    shape = (len(points), len(laid_out.columns))
    mean, low, high = (values.reshape(shape) for values in (sums.ratio, *(bound + given for bound in bounds)))
    hallucinated = laid_out.hallucinated.sum(axis=0)
    clusters = (sums.denominator != 0).sum(axis=0).reshape(shape)
    marks = _marks(laid_out, metrics, mean, ranked, seed)
    for number, point in enumerate(points):
        for column, metric in enumerate(laid_out.metrics):
            cells[number][metric] = _cell(
                by_point[point],
                metric,
                mean=float(mean[number, column]),
                low=float(low[number, column]),
                high=float(high[number, column]),
                clusters=int(clusters[number, column]),
                clustered_by=laid_out.clustered_by,
                hallucinated=int(hallucinated[number, column]),
                mark=marks.get((number, metric), ""),
            )
        totals[number] = dict(zip(RATES, mean[number, len(laid_out.metrics) :].tolist(), strict=True))
    return [
        Row(
            *point,
            kinds[number],
            families[number],
            group,
            len(by_point[point]),
            float(by_point[point]["duration_s"].sum()),
            _rates(by_point[point], totals[number], nominal.get(point, float("nan"))),
            {metric: cells[number][metric] for metric in metrics},
            kinds[number] != "ceiling" and bool(((by_point[point]["bits_total"] == 0) & (by_point[point]["bitrate"] > 0)).any()),
            _length_error_s(by_point[point]),
        )
        for number, point in enumerate(points)
    ]


def _cell(records: pd.DataFrame, metric: str, **resampled: Any) -> Cell:
    """What was resampled, with the spread and the counts of the point's `records`."""
    values = floats(records, metric)
    values = values[np.isfinite(values)]
    p5, median, p95 = np.percentile(values, [5, 50, 95]).tolist() if len(values) else (float("nan"),) * 3
    failed = sum(metric in reasons or CODEC in reasons for reasons in failures_of(records))
    not_applicable = sum(metric in reasons for reasons in not_applicable_of(records))
    return Cell(median=median, p5=p5, p95=p95, n=len(values), failed=failed, not_applicable=not_applicable, **resampled)


def _rates(records: pd.DataFrame, total: Mapping[str, float], nominal_frame_rate: float) -> Rates:
    duration_s = records["duration_s"]
    encoded = records["bits_total"] > 0
    per_utterance = {name: float(pd.Series(floats(records, name)).where(lambda rate: rate > 0).mean()) for name in RATES}
    if str(records["kind"].iloc[0]) == "ceiling":
        pcm = 16.0 * records["sample_rate"]
        total = {**total, **dict.fromkeys(_BITRATES, _per_second(pcm * duration_s, duration_s))}
        per_utterance |= dict.fromkeys(_BITRATES, float(pcm.mean()))
    computed = np.array([CODEC not in reasons for reasons in failures_of(records)])

    def rtf(seconds: pd.Series) -> float:
        timed = computed & (seconds > 0).to_numpy()
        return _per_second(seconds[timed], duration_s[timed])

    tokens, side, total_bits, entropy = (
        _per_second(records.loc[encoded, name], duration_s[encoded]) for name in ("bits_tokens", "bits_side", "bits_total", "bits_entropy")
    )
    return Rates(
        **total,
        bitrate_tokens=tokens,
        bitrate_side=side,
        bitrate_header=total_bits - tokens - side,
        bitrate_entropy=entropy,
        nominal_frame_rate=nominal_frame_rate,
        encode_rtf=rtf(records["encode_s"]),
        decode_rtf=rtf(records["decode_s"]),
        peak_memory_mb=float(records["peak_memory_mb"].max()),
        **{f"utterance_mean_{name}": rate for name, rate in per_utterance.items()},
    )


def _length_error_s(records: pd.DataFrame) -> float:
    decoded = records[records["sample_rate"] > 0]
    errors_s = floats(decoded, "length_error") / decoded["sample_rate"].to_numpy(np.float64)
    return float(errors_s[np.argmax(np.abs(errors_s))]) if len(errors_s) else 0.0


def _per_second(amounts: pd.Series, seconds: pd.Series) -> float:
    """The sum of `amounts` over the sum of `seconds`; NaN where there are none."""
    total_s = float(seconds.sum())
    return float(amounts.sum()) / total_s if total_s > 0 else float("nan")


def _marks(
    laid_out: Grid, metrics: Mapping[str, MetricInfo], mean: np.ndarray, ranked: Sequence[bool], seed: int
) -> dict[tuple[int, str], str]:
    """The best point of each metric that ranks; those whose paired difference from it is not significant after Holm, or could not be."""
    marks: dict[tuple[int, str], str] = {}
    for column, name in enumerate(laid_out.metrics):
        candidates = [point for point in range(len(laid_out.points)) if ranked[point] and np.isfinite(mean[point, column])]
        if metrics[name].diagnostic or len(candidates) < 2:
            continue
        best = max(candidates, key=lambda point: metrics[name].sign * mean[point, column])
        others = [point for point in candidates if point != best]
        differences = laid_out.differences(others, best, [column])
        p_values = stats.sign_flip_p(differences, seed)
        marks[best, name] = "best"
        least = stats.least_p(differences)
        # A point that shares no utterance with the best was not tested, and is not marked.
        for point, adjusted, attainable in zip(others, stats.holm(p_values), stats.holm(least), strict=True):
            if adjusted >= ALPHA:
                marks[point, name] = "tied" if attainable < ALPHA else "untested"
    return marks
