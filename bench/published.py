"""What papers printed for the points of a suite, and how far from it we measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.summary import Table

COLUMNS = ("entry", "metric", "value", "unit", "source", "doubt")  # that SUITE.published.csv must have; more are allowed


@dataclass(frozen=True)
class Published:
    """One number that a paper printed for one of our points.

    metric   a metric, or a rate of summary.Rates ("frame_rate", "nominal_bitrate")
    value    in the metric's unit; Hz and bit/s
    source   paper and table
    doubt    what speaks against comparing it, or ""
    """

    codec: str
    point: str
    metric: str
    value: float
    unit: str
    source: str
    doubt: str


@dataclass(frozen=True)
class Gap:
    """A published number beside what was measured, in the same unit.

    mean        NaN where it was not measured
    low, high   95 % interval of the mean; NaN where there is none: too few clusters, or a rate, which is counted
    n           utterances
    """

    published: Published
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0

    @property
    def difference(self) -> float:
        """Measured less published."""
        return self.mean - self.published.value

    @property
    def difference_low(self) -> float:
        """The interval is ours alone: papers print none, so their number is taken as exact."""
        return self.low - self.published.value

    @property
    def difference_high(self) -> float:
        return self.high - self.published.value


def read_published(path: Path) -> tuple[Published, ...]:
    """The numbers of SUITE.published.csv that belong to a point of ours (`entry`: CODEC@POINT); none where there is no such file."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restval="")
        if lacking := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise UserError(f"{path}:1: no column {', '.join(lacking)}; there must be {', '.join(COLUMNS)}")
        return tuple(_published(row, f"{path}:{reader.line_num}") for row in reader if row["entry"])


def _published(row: dict[str, str], place: str) -> Published:
    try:
        value = float(row["value"])
    except ValueError:
        raise UserError(f"{place}: value: '{row['value']}' is no number") from None
    codec, _, point = row["entry"].rpartition("@")
    return Published(codec, point, row["metric"], value, row["unit"], row["source"], row["doubt"])


def published_of(about: Mapping[str, Any]) -> tuple[Published, ...]:
    """The published numbers as run.json keeps them."""
    return tuple(Published(**{**entry, "value": float(entry["value"])}) for entry in about["suite"].get("published", ()))


def against_papers(table: Table, published: Sequence[Published]) -> tuple[Gap, ...]:
    """Every published number with its place in `table`, which is to be of all the data that the suite names."""
    rows = {(row.codec, row.point): row for row in table.rows}
    gaps = []
    for figure in published:
        row = rows.get((figure.codec, figure.point))
        if row is None:
            gap = Gap(figure)
        elif cell := row.cells.get(figure.metric):
            gap = Gap(figure, cell.mean, cell.low, cell.high, cell.n)
        else:
            rate = getattr(row.rates, figure.metric, math.nan)
            gap = Gap(figure, rate, n=row.utterances if math.isfinite(rate) else 0)
        gaps.append(gap)
    return tuple(gaps)
