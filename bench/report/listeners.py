"""How metrics follow listeners, as text for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bench.analysis.listeners import COEFFICIENTS, Correlation
from bench.errors import UserError
from bench.files import write_text
from bench.report.table import csv_cell, escape_markdown, interval, markdown_table, number

TITLE = "What listeners say"
NOTE = (
    "Correlation of each metric with the listeners' scores of the same audio, positive where both call the same better; 95 % intervals "
    "resample items. items: every rated utterance; systems: means of systems."
)


FILE = "listeners.csv"  # in the folder of a run, and of its report


def write(found: Sequence[Correlation], folder: Path) -> None:
    """listeners.csv in the folder of a run, where its report finds it."""
    write_text(folder / FILE, render_csv(found))


def read(folder: Path) -> list[Correlation]:
    """What `write` wrote; none where it did not."""
    path = folder / FILE
    if not path.is_file():
        return []
    kinds = {"value": float, "low": float, "high": float, "n": int, "items": int}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            rows = [{name: kinds.get(name, str)(text or "nan") for name, text in row.items()} for row in csv.DictReader(file)]
            return [Correlation(**row) for row in rows]
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: is not what bench listeners writes: {error}") from None


def render_csv(found: Sequence[Correlation]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Correlation)])
    writer.writerows([[csv_cell(value) for value in asdict(each).values()] for each in found])
    return out.getvalue()


def render_markdown(found: Sequence[Correlation]) -> str:
    """A row a metric and level, best first by Spearman over items; "" where nothing was rated."""
    if not found:
        return ""
    lines = [["metric", "level", *COEFFICIENTS, "n"], ["---", "---", *["---:"] * len(COEFFICIENTS), "---:"]]
    lines += [[escape_markdown(metric), level, *cells, str(n)] for metric, level, cells, n in rows(found)]
    return f"\n## {TITLE}\n\n{markdown_table(lines)}\n{NOTE}\n"


def page_table(found: Sequence[Correlation]) -> dict[str, object]:
    """The same table as the page draws it."""
    heads = ("metric", "level", *COEFFICIENTS, "n")
    lines = [dict(zip(heads, (metric, level, *cells, str(n)), strict=True)) for metric, level, cells, n in rows(found)]
    return {"title": TITLE, "note": NOTE, "lines": lines}


def rows(found: Sequence[Correlation]) -> list[tuple[str, str, list[str], int]]:
    """metric, level, a text for each coefficient, n."""
    by_row: dict[tuple[str, str], dict[str, Correlation]] = {}
    for each in found:
        by_row.setdefault((each.metric, each.level), {})[each.coefficient] = each
    ranks = {metric: own["spearman"].value for (metric, level), own in by_row.items() if level == "items"}
    ordered = sorted(by_row, key=lambda row: (row[1], -_or_last(ranks[row[0]])))
    return [(*row, [_cell(by_row[row][name]) for name in COEFFICIENTS], by_row[row]["pearson"].n) for row in ordered]


def _or_last(value: float) -> float:
    return value if math.isfinite(value) else -2.0


def _cell(found: Correlation) -> str:
    return number(found.value, 3) + interval(found.low, found.high, 3)
