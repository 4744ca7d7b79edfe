"""Every dynamic point against the fixed family at equal bits and at equal tokens: the comparison that the project exists for; no I/O.

A family of fixed codecs is measured at a few rates. What it reaches at the rate of a dynamic point is what a twin there measured, where
one lies within TWIN of the rate; else it lies on the straight line, over the logarithm of the rate, between the two neighbouring points.
Either is a weighted mean of measured scores, utterance by utterance, so that the difference is a paired one, with the same interval and
the same test as any other. The dynamic point's rate is taken as measured over the corpus.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.grid import RATES, Grid, Point, grid
from bench.analysis.verdicts import margin
from bench.record import MetricInfo, ranking

Word = Literal["better", "same", "worse", "undecided", "no verdict"]
How = Literal["twin", "interpolated", ""]

FIXED = "fixed"  # this family is fixed whatever the kinds of its modules are: a fixed-rate twin of a dynamic codec runs on its module
AGAINST = ("bitrate", "token_rate")
TWIN = 0.02  # relative: a measured fixed point this near is at the same rate
ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One metric of one dynamic point less the same of a fixed family at the same rate.

    against             "bitrate": durations counted; "token_rate"
    family              name of the fixed family
    rate                bit/s or Hz, of the dynamic point, measured over the corpus
    n                   utterances that the dynamic point and all fixed points used have
    value, fixed        over those n, in the metric's unit
    difference          value less fixed; low, high: its 95 % interval; all in the metric's unit
    p, p_holm           paired sign-flip test, and adjusted for all findings of the verdict; NaN where there is no test
    margin              in the metric's unit: a difference that would matter (bench.analysis.verdicts.MARGINS)
    word                better, worse: significant after Holm, and the interval excludes 0; same: the whole interval lies within the margin;
                        undecided: neither; no verdict: there is no fixed value at this rate
    how                 "twin": one measured point within TWIN of the rate; "interpolated": between two; "": neither
    points, rates       the one or two fixed points used, and their measured rates, in the unit of `rate`
    why                 why there is no verdict, or why no test could have found a difference
    """

    codec: str
    point: str
    metric: str
    against: str
    family: str
    rate: float
    n: int = 0
    value: float = math.nan
    fixed: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    margin: float = math.nan
    word: Word = "no verdict"
    how: How = ""
    points: tuple[Point, ...] = ()
    rates: tuple[float, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """All findings, in the order of the dynamic points.

    families     fixed family -> its codecs
    resampled    "14 speakers": what intervals and tests take as a whole
    note         why there are no findings, or ""
    """

    findings: tuple[Finding, ...] = ()
    families: Mapping[str, tuple[str, ...]] | None = None
    resampled: str = ""
    note: str = ""


def equal_bits(
    records: pd.DataFrame,
    metrics: Mapping[str, MetricInfo],
    *,
    margins: Mapping[str, float | str] | None = None,
    order: Sequence[Point] = (),
    seed: int = 0,
) -> Verdict:
    """The verdict on `records` (columns of bench.record.Record); diagnostics are left out. `margins` come before the usual ones."""
    ranked = ranking(metrics)
    families = fixed_families(records)
    fixed_codecs = {codec for codecs in families.values() for codec in codecs}
    dynamic = set(records.loc[records["kind"] == "dynamic", "codec"].astype(str)) - fixed_codecs
    lacking = [
        what
        for what, there in (("dynamic codec", dynamic), ("family of fixed codecs (`family: fixed` in the suite)", families))
        if not there
    ]
    if lacking or not ranked:
        return Verdict(families=families, note=f"no comparison at equal bits: no {' and no '.join(lacking) or 'metric that ranks'}")
    laid_out = grid(records, ranked, order, seed)
    tested = _tested(laid_out, families, dynamic, seed)
    points, names = list(laid_out.points), list(ranked)
    findings = sorted(
        _with_words(tested, ranked, margins or {}),
        key=lambda each: (points.index((each.codec, each.point)), AGAINST.index(each.against), names.index(each.metric)),
    )
    resampled = f"{laid_out.num_clusters} {laid_out.clustered_by}{'s' if laid_out.num_clusters != 1 else ''}"
    return Verdict(tuple(findings), families, resampled)


def fixed_families(records: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Name -> codecs, of the families that a suite has declared and that are fixed: of the name FIXED, or of fixed kinds alone."""
    if "family" not in records:
        return {}
    codecs = records.drop_duplicates("codec")
    codecs = codecs.assign(family=codecs["family"].fillna("").astype(str))
    families = {}
    for family, members in codecs[codecs["family"] != ""].groupby("family", sort=False):
        if family == FIXED or set(members["kind"]) == {"fixed"}:
            families[str(family)] = tuple(members["codec"].astype(str))
    return families


# --- what the fixed family reaches ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fixed:
    """Numbers of one or two fixed points in a grid, with the share of each."""

    points: tuple[int, ...]
    shares: tuple[float, ...]


def at_rate(rate: float, rates: Sequence[float], others: Sequence[float], other: float) -> _Fixed | str:
    """Which of the measured `rates`, at which shares, stand for a fixed codec at `rate`; or why none can.

    others   the other rate of each (tokens for bits, bits for tokens): of several at one rate, the one nearest to `other` is taken
    """
    known = [number for number, each in enumerate(rates) if math.isfinite(each) and each > 0]
    if not (math.isfinite(rate) and rate > 0):
        return "the dynamic point has no measured rate"
    if not known:
        return "the family has no measured rate"

    def apart(one: float, two: float) -> float:
        return abs(math.log(one / two)) if one > 0 and two > 0 else math.inf

    def nearest(numbers: list[int]) -> int:
        closest = min(apart(rates[number], rate) for number in numbers)
        at_it = [number for number in numbers if apart(rates[number], rate) <= closest + math.log1p(TWIN)]
        return min(at_it, key=lambda number: (apart(others[number], other), apart(rates[number], rate)))

    twins = [number for number in known if abs(rates[number] / rate - 1) <= TWIN]
    if twins:
        return _Fixed((min(twins, key=lambda number: (apart(others[number], other), apart(rates[number], rate))),), (1.0,))
    below, above = ([number for number in known if (rates[number] > rate) == side] for side in (False, True))
    if not below or not above:
        lowest, highest = min(rates[number] for number in known), max(rates[number] for number in known)
        return f"{rate:.4g} lies {'below' if above else 'above'} all that the family measured, {lowest:.4g} to {highest:.4g}"
    low, high = nearest(below), nearest(above)
    share = math.log(rate / rates[low]) / math.log(rates[high] / rates[low])
    return _Fixed((low, high), (1 - share, share))


# --- findings -----------------------------------------------------------------------------------------------------------------------


def _tested(laid_out: Grid, families: Mapping[str, tuple[str, ...]], dynamic: set[str], seed: int) -> list[tuple[Finding, float]]:
    """Differences, intervals and p of all that the grid holds, without words, and the least p that each test could have given."""
    rates = _rates(laid_out)
    columns = [laid_out.columns.index(name) for name in laid_out.metrics]
    findings: list[Finding] = []
    gains, divisors = [], []  # float64 [U] of each finding
    for number, (codec, point) in enumerate(laid_out.points):
        if codec not in dynamic:
            continue
        for against, (family, codecs) in itertools.product(AGAINST, families.items()):
            numbers = [other for other, (label, _) in enumerate(laid_out.points) if label in codecs]
            own, beside = rates[against], rates[AGAINST[1 - AGAINST.index(against)]]
            fixed_at = at_rate(float(own[number]), own[numbers].tolist(), beside[numbers].tolist(), float(beside[number]))
            names = Finding(codec, point, "", against, family, float(own[number]))
            if isinstance(fixed_at, str):
                findings += [replace(names, metric=metric, why=fixed_at) for metric in laid_out.metrics]
                gains.append(np.zeros((len(laid_out.cluster), len(columns))))
                divisors.append(gains[-1])
                continue
            used = [numbers[each] for each in fixed_at.points]
            value, fixed, divisor = laid_out.beside_mixture(number, used, fixed_at.shares, columns)
            gains.append(value - fixed)
            divisors.append(divisor)
            levels = (stats.divide(each.sum(axis=0), divisor.sum(axis=0)).tolist() for each in (value, fixed))
            points, measured = tuple(laid_out.points[each] for each in used), tuple(float(own[each]) for each in used)
            how: How = "twin" if len(used) == 1 else "interpolated"
            findings += [
                replace(names, metric=metric, n=int(n), value=top, fixed=bottom, how=how, points=points, rates=measured)
                for metric, n, top, bottom in zip(laid_out.metrics, (divisor > 0).sum(axis=0), *levels, strict=True)
            ]
    sums = stats.cluster_sums(np.hstack(gains), np.hstack(divisors), laid_out.cluster)
    found = stats.ratios(sums)
    tested = zip(findings, found.estimate, *found.student(), stats.sign_flip_p(sums, seed), stats.least_p(sums), strict=True)
    return [
        (replace(each, difference=float(mean), low=float(low), high=float(high), p=float(p)), float(least))
        for each, mean, low, high, p, least in tested
    ]


def _rates(laid_out: Grid) -> dict[str, np.ndarray]:
    """Column -> the rate of each point over the corpus, float64 [P]."""
    numerator, denominator = (side[:, :, len(laid_out.metrics) :].sum(axis=0) for side in (laid_out.numerator, laid_out.denominator))
    return dict(zip(RATES, stats.divide(numerator, denominator).T, strict=True))


def _with_words(
    tested: Sequence[tuple[Finding, float]], metrics: Mapping[str, MetricInfo], margins: Mapping[str, float | str]
) -> list[Finding]:
    """Findings with their adjusted p, margin and word; each comes with the least p that its test could have given."""
    adjusted = stats.holm(np.array([finding.p for finding, _ in tested]))
    attainable = stats.holm(np.array([least for _, least in tested]))
    return [
        _with_word(finding, metrics[finding.metric], margins, p_holm, least_holm)
        for (finding, _), p_holm, least_holm in zip(tested, adjusted.tolist(), attainable.tolist(), strict=True)
    ]


def _with_word(finding: Finding, info: MetricInfo, margins: Mapping[str, float | str], p_holm: float, least_holm: float) -> Finding:
    if not finding.how:
        return finding
    if not finding.n:
        return replace(finding, how="", points=(), rates=(), why="no utterance has the metric in all of the points")
    mattering = margin(info.name, margins, finding.fixed)
    why = ""
    if math.isnan(finding.low):
        why = "too few clusters for an interval or a test"
    elif least_holm >= ALPHA:
        why = f"no test: with so few clusters p would be {least_holm:.2g} at the least"
    word: Word = "undecided"
    if p_holm < ALPHA and (finding.low > 0 or finding.high < 0):
        word = "better" if info.sign * finding.difference > 0 else "worse"
    elif -mattering < finding.low and finding.high < mattering:
        word = "same"
    return replace(finding, p_holm=p_holm, margin=mattering, word=word, why=why)
