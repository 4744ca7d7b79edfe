"""Which metric to believe: how each follows what listeners said of the same audio; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bench.analysis.grid import floats
from bench.errors import UserError, unknown
from bench.record import MetricInfo

if TYPE_CHECKING:
    from bench.listeners import Rating

Level = Literal["items", "systems"]
LEVELS: tuple[Level, ...] = ("items", "systems")
RESAMPLES = 500
MIN_ITEMS = 5  # below which no interval is given


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one - one.mean(), other - other.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    from scipy import stats  # takes as long as a report without it

    return _pearson(stats.rankdata(one), stats.rankdata(other))


def _kendall(one: np.ndarray, other: np.ndarray) -> float:
    from scipy import stats

    return float(stats.kendalltau(one, other, method="asymptotic").statistic)


COEFFICIENTS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {"pearson": _pearson, "spearman": _spearman, "kendall": _kendall}


@dataclass(frozen=True)
class Correlation:
    """One coefficient between a metric and the listeners, positive where the metric's better is the listeners' better.

    level       "items": each utterance of each system; "systems": each system's mean over the items that it was rated on
    coefficient one of COEFFICIENTS; NaN where one side does not vary
    low, high   95 % interval, items resampled; NaN below MIN_ITEMS
    n           pairs; items: utterances that they are of
    """

    metric: str
    level: Level
    coefficient: str
    value: float
    low: float
    high: float
    n: int
    items: int


def correlations(records: pd.DataFrame, metrics: Mapping[str, MetricInfo], ratings: Sequence[Rating], seed: int = 0) -> list[Correlation]:
    """Of every metric at both levels. UserError where a rating is of a system or item that was not run."""
    rated = _rated(records, ratings)
    found = []
    for name, info in metrics.items():
        values = info.sign * floats(rated, name) if name in rated else np.full(len(rated), np.nan)
        known = rated.assign(value=values)[np.isfinite(values)]
        found += _of_metric(name, known, seed)
    return found


def _rated(records: pd.DataFrame, ratings: Sequence[Rating]) -> pd.DataFrame:
    """The records that were rated, with the listeners' score as `mos` and the system as it is called there."""
    points = records[["codec", "point"]].drop_duplicates()
    named = {f"{codec}@{point}": (codec, point) for codec, point in points.itertuples(index=False)}
    alone = points.groupby("codec")["point"].agg(list)
    named |= {str(codec): (codec, own[0]) for codec, own in alone.items() if len(own) == 1}
    wanted = []
    for rating in ratings:
        if rating.system not in named:
            raise UserError(f"the ratings name a system that this run has not: {unknown('system', rating.system, named)}")
        wanted.append((*named[rating.system], rating.item, rating.system, rating.score))
    frame = pd.DataFrame(wanted, columns=["codec", "point", "utterance", "system", "mos"])
    rated = frame.merge(records, on=["codec", "point", "utterance"], how="left", indicator=True)
    if len(lacking := rated[rated["_merge"] != "both"]):
        first = lacking.iloc[0]
        raise UserError(f"{len(lacking)} ratings are of what was not run; the first: item '{first['utterance']}' of {first['system']}")
    return rated


def _of_metric(name: str, known: pd.DataFrame, seed: int) -> list[Correlation]:
    values, mos = (known[column].to_numpy(np.float64) for column in ("value", "mos"))
    item, items = pd.factorize(known["utterance"])
    system, _ = pd.factorize(known["system"])
    of_item = [np.flatnonzero(item == number) for number in range(len(items))]
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(items), size=(RESAMPLES, len(items))) if len(items) >= MIN_ITEMS else np.empty((0, 0), np.int64)
    chosen = [np.concatenate([of_item[number] for number in draw]) for draw in draws]
    found = []
    for level in LEVELS:
        whole = _pairs(values, mos, system, level)
        resampled = [_pairs(values[draw], mos[draw], system[draw], level) for draw in chosen]
        for coefficient, of in COEFFICIENTS.items():
            drawn = np.array([_coefficient(of, *pair) for pair in resampled])
            drawn = drawn[np.isfinite(drawn)]
            low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if len(drawn) else (float("nan"), float("nan"))
            found.append(Correlation(name, level, coefficient, _coefficient(of, *whole), low, high, len(whole[0]), len(items)))
    return found


def _pairs(values: np.ndarray, mos: np.ndarray, system: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """The metric's values and the listeners', of items or as means of systems."""
    if level == "items":
        return values, mos
    n = np.bincount(system)
    present = n > 0
    return np.bincount(system, values)[present] / n[present], np.bincount(system, mos)[present] / n[present]


def _coefficient(of: Callable[[np.ndarray, np.ndarray], float], values: np.ndarray, mos: np.ndarray) -> float:
    if len(values) < 3 or np.ptp(values) == 0 or np.ptp(mos) == 0:
        return float("nan")
    return of(values, mos)
