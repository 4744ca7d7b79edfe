"""What was measured less what a paper printed, with our interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.summary import Table
from bench.published import Published


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
