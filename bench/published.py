"""What papers printed for the points of a suite, and how far from it we measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.datasets.cells import csv_rows
from bench.errors import UserError

COLUMNS = ("entry", "metric", "value", "unit", "source", "doubt")  # that SUITE.published.csv must have; more are allowed
UNITS = {"frame_rate": "Hz", "token_rate": "Hz", "bitrate": "bit/s", "nominal_bitrate": "bit/s"}  # in which rates are published here


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


def read_published(path: Path) -> tuple[Published, ...]:
    """The numbers of SUITE.published.csv that belong to a point of ours (`entry`: CODEC@POINT); none where there is no such file."""
    if not path.is_file():
        return ()

    def check(columns: Sequence[str]) -> None:
        if lacking := [name for name in COLUMNS if name not in columns]:
            raise UserError(f"{path}:1: no column {', '.join(lacking)}; there must be {', '.join(COLUMNS)}")

    return tuple(_published(row, f"{path}:{line}") for line, row in csv_rows(path, check) if row["entry"])


def _published(row: dict[str, str], place: str) -> Published:
    try:
        value = float(row["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{place}: value: '{row['value']}' is no number")
    codec, _, point = row["entry"].rpartition("@")
    if not (codec and point and row["metric"]):
        raise UserError(f"{place}: entry '{row['entry']}', metric '{row['metric']}': there must be CODEC@POINT and a metric")
    if row["unit"] != (unit := UNITS.get(row["metric"], row["unit"])):
        raise UserError(f"{place}: unit: '{row['unit']}' of {row['metric']}, which is published in {unit}")
    return Published(codec, point, row["metric"], value, row["unit"], row["source"], row["doubt"])


def published_of(about: Mapping[str, Any]) -> tuple[Published, ...]:
    """The published numbers as run.json keeps them."""
    return tuple(Published(**{**entry, "value": float(entry["value"])}) for entry in about["suite"].get("published", ()))
