"""`bench compare`: everything against one point, for the terminal and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.comparison import Comparison as Numbers
from bench.analysis.comparison import CurveDifference, Difference
from bench.analysis.equal_bits import Verdict
from bench.analysis.summary import ALPHA
from bench.record import MetricInfo
from bench.report import equal_bits
from bench.report.table import MISSING, difference_decimals, head, interval, kbps, signed, spread_text, terminal_tables

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

SHOWN_AGAINST = {"bitrate": "kbps", "token_rate": "tokens/s", "frame_rate": "Hz"}


@dataclass(frozen=True)
class Comparison:
    """The numbers with the facts of their metrics, and the verdict at equal bits."""

    numbers: Numbers
    verdict: Verdict
    metrics: Mapping[str, MetricInfo]


def render_json(comparison: Comparison) -> str:
    """All numbers, unrounded; null where there is none."""
    numbers = asdict(comparison.numbers)
    numbers["baseline"] = "@".join(comparison.numbers.baseline)
    numbers["pareto"] = [
        {"metric": metric, "against": against, "points": ["@".join(point) for point in points]}
        for (metric, against), points in comparison.numbers.pareto.items()
    ]
    numbers["verdict"] = equal_bits.as_data(comparison.verdict)
    return json.dumps(_without_nan(numbers), ensure_ascii=False, indent=1)


def render_terminal(comparison: Comparison, width: int) -> Group:
    """Differences, curves and Pareto front for a rich console of `width` characters."""
    from rich.console import Group
    from rich.text import Text

    numbers = comparison.numbers
    parts: list[Any] = [Text(f"Against {'@'.join(numbers.baseline)}", style="bold"), *_differences(comparison, width)]
    parts.append(
        Text(
            "Difference with its 95 % interval (paired, Student's t over speakers, or over utterances where no speaker is known), and the "
            "share of utterances on which it is better; green is better, red worse. "
            f"*: significant at {100 * ALPHA:.0f} % (sign flips, Holm over all but the original audio).\n",
            style="dim",
        )
    )
    curves = [curve for curve in numbers.curves if not curve.undefined]
    if curves:
        parts += _curves(curves, comparison.metrics, width)
        parts.append(
            Text(
                "BD: piecewise cubic over the log rate, averaged over what both curves reach; overlap: its share of all qualities.",
                style="dim",
            )
        )
    parts += [Text(line, style="dim") for line in _curve_notes(numbers)]
    parts.append(Text(""))
    parts += [_pareto(numbers), equal_bits.render_terminal(comparison.verdict, comparison.metrics, width)]
    return Group(*parts)


def _differences(comparison: Comparison, width: int) -> list[RichTable]:
    from rich.text import Text

    by_place = {(each.codec, each.point, each.metric): each for each in comparison.numbers.differences}
    points = list(dict.fromkeys((each.codec, each.point) for each in comparison.numbers.differences))
    metrics = list(dict.fromkeys(each.metric for each in comparison.numbers.differences))
    columns = []
    for metric in metrics:
        found = [by_place.get((*point, metric)) for point in points]
        places = difference_decimals((each.high - each.low) / 2 for each in found if each)
        columns.append([_difference(each, comparison.metrics[metric], places) for each in found])
    body = [[*map(Text, point), *(column[row] for column in columns)] for row, point in enumerate(points)]
    return terminal_tables(["codec", "point", *(head(comparison.metrics[metric]) for metric in metrics)], body, 2, width)


def _difference(found: Difference | None, info: MetricInfo, places: int) -> Text:
    from rich.text import Text

    if found is None:
        return Text(MISSING)
    significant = found.p_holm < ALPHA
    better = (found.mean > 0) == info.higher_is_better
    text = Text(signed(found.mean, places), style=("green" if better else "red") if significant else "")
    text.append(f" {spread_text(found.mean, found.low, found.high, places, signed)}", style="dim")
    text.append("*" if significant else " ")
    text.append(f" {100 * found.better / found.n:3.0f} %", style="dim")
    return text


def _curves(curves: Iterable[CurveDifference], metrics: Mapping[str, MetricInfo], width: int) -> list[RichTable]:
    from rich.text import Text

    body = []
    for curve in curves:
        places = difference_decimals([(curve.bd_quality_high - curve.bd_quality_low) / 2])
        low, high = curve.rate_overlap
        rates = f"{kbps(low)} to {kbps(high)}" if curve.against == "bitrate" else f"{low:.3g} to {high:.3g}"
        names = [Text(curve.codec), Text(head(metrics[curve.metric])), Text(SHOWN_AGAINST[curve.against])]
        style = "green" if curve.bd_rate_high < 0 else "red" if curve.bd_rate_low > 0 else ""
        spend = Text(f"{signed(curve.bd_rate, 1)} %", style=style).append(interval(curve.bd_rate_low, curve.bd_rate_high, 1), style="dim")
        gain = Text(signed(curve.bd_quality, places)).append(interval(curve.bd_quality_low, curve.bd_quality_high, places), style="dim")
        body.append([*names, spend, gain, Text(rates), Text(f"{curve.overlap:.0f} %")])
    return terminal_tables(["codec", "metric", "against", "BD-rate", "BD-quality", "rates", "overlap"], body, 3, width)


def _curve_notes(numbers: Numbers) -> list[str]:
    """Why curves have no averages, and which points take no part in those that have."""
    reasons: dict[tuple[str, str], list[str]] = {}
    dropped: dict[tuple[str, ...], list[str]] = {}
    for curve in numbers.curves:
        place = f"{curve.metric} against {SHOWN_AGAINST[curve.against]}"
        if curve.undefined:
            reasons.setdefault((curve.codec, curve.undefined), []).append(place)
        elif curve.dropped:
            dropped.setdefault(tuple(map("@".join, curve.dropped)), []).append(place)
    notes = [f"No BD-rate of {codec}: {reason} ({', '.join(places)})." for (codec, reason), places in reasons.items()]
    for points, places in dropped.items():
        notes.append(f"Left out, as a cheaper point is no worse or there is no score: {', '.join(points)} ({', '.join(places)}).")
    return notes or ([] if numbers.curves else ["No other codec has a curve: no BD-rate."])


def _pareto(numbers: Numbers) -> Text:
    from rich.text import Text

    text = Text("Pareto front against kbps\n", style="bold")
    for (metric, against), points in numbers.pareto.items():
        if against == "bitrate" and points:
            text.append(f"  {metric}: {', '.join('@'.join(point) for point in points)}\n", style="not bold")
    return text


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
