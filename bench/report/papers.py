"""Published beside measured, with the difference: for the terminal, as Markdown, as CSV and for the page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING

from bench.analysis.papers import Gap
from bench.record import MetricInfo
from bench.report.table import (
    MISSING,
    csv_cell,
    escape_markdown,
    head,
    interval,
    markdown_table,
    number,
    signed,
    terminal_tables,
    usual_decimals,
)

if TYPE_CHECKING:
    from rich.console import Group

TITLE = "Against the papers"
NOTE = (
    "paper: as printed, ?: with a doubt. measured: mean (95 % interval). difference: measured less published, with our interval; "
    "the paper's number is taken as exact. n: utterances. Rates are counted and have no interval."
)
_RATES = {  # title, divisor, decimals
    "frame_rate": ("Hz", 1, 2),
    "token_rate": ("tokens/s", 1, 1),
    "bitrate": ("kbps", 1000, 3),
    "nominal_bitrate": ("nominal kbps", 1000, 3),
}
_LEFT = ("codec", "point", "metric", "source", "doubt")


@dataclass(frozen=True)
class Line:
    """A Gap as it is printed; its fields are the columns."""

    codec: str
    point: str
    metric: str
    paper: str
    measured: str
    difference: str
    n: str
    source: str
    doubt: str


def lines(gaps: Sequence[Gap], metrics: Mapping[str, MetricInfo]) -> list[Line]:
    """A line for every gap, with as many decimals as the metric's usual interval shows."""
    places = {
        name: usual_decimals((gap.high - gap.low) / 2 for gap in gaps if gap.published.metric == name)
        for name in dict.fromkeys(gap.published.metric for gap in gaps)
    }
    return [_line(gap, metrics, places[gap.published.metric]) for gap in gaps]


def _line(gap: Gap, metrics: Mapping[str, MetricInfo], places: int) -> Line:
    of = gap.published
    title, divisor = of.metric, 1
    if of.metric in _RATES:
        title, divisor, places = _RATES[of.metric]
    elif of.metric in metrics:
        title = head(metrics[of.metric])
    measured, difference = "not measured", MISSING
    if gap.n:
        between = f" ({number(gap.low, places)} to {number(gap.high, places)})" if math.isfinite(gap.low) else ""
        measured = number(gap.mean / divisor, places) + between
        finer = places + (of.metric not in _RATES)  # a difference of scores is shown with a decimal more than they
        difference = signed(gap.difference / divisor, finer) + interval(gap.difference_low, gap.difference_high, finer)
    paper = f"{of.value / divisor:.6g}{'?' if of.doubt else ''}"
    return Line(of.codec, of.point, title, paper, measured, difference, str(gap.n), of.source, of.doubt)


def render_markdown(gaps: Sequence[Gap], metrics: Mapping[str, MetricInfo]) -> str:
    """A section to stand below the table; nothing where no paper printed anything."""
    if not gaps:
        return ""
    heads = list(Line.__dataclass_fields__)
    rule = ["---" if name in _LEFT else "---:" for name in heads]
    body = [[escape_markdown(text) for text in astuple(line)] for line in lines(gaps, metrics)]
    return f"\n## {TITLE}\n\n{markdown_table([heads, rule, *body])}\n{NOTE}\n"


def render_csv(gaps: Sequence[Gap]) -> str:
    """Every number unrounded, in the metric's unit (Hz and bit/s for rates); empty where nothing was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for position, gap in enumerate(gaps):
        facts = asdict(gap.published)
        numbers = {"published": facts.pop("value"), "measured": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n}
        differences = {name: getattr(gap, name) for name in ("difference", "difference_low", "difference_high")}
        record = {name: facts.pop(name) for name in ("codec", "point", "metric")} | numbers | differences | facts
        if position == 0:
            writer.writerow(record)
        writer.writerow(map(csv_cell, record.values()))
    return out.getvalue()


def render_terminal(gaps: Sequence[Gap], metrics: Mapping[str, MetricInfo], width: int) -> Group:
    """For a rich console of `width` characters; sources and doubts are left to the files."""
    from rich.console import Group
    from rich.text import Text

    heads = [name for name in Line.__dataclass_fields__ if name not in ("source", "doubt")]
    body = [[Text(getattr(line, name)) for name in heads] for line in lines(gaps, metrics)]
    return Group(Text(TITLE, style="bold"), *terminal_tables(heads, body, 3, width), Text(NOTE, style="dim"))
