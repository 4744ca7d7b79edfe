"""Every dynamic point against the fixed family at equal bits and at equal tokens: the comparison that the project exists for; no I/O.

A family of fixed codecs is measured at a few rates. What it reaches at the rate of a dynamic point is what a twin there measured, where
one lies within TWIN of the rate; else it lies on the straight line, over the logarithm of the rate, between the two neighbouring points.
Either is a weighted mean of measured scores, utterance by utterance, so that the difference is a paired one, with the same interval and
the same test as any other. The dynamic point's rate is taken as measured over the corpus.

Members that no user of the family would take are passed over, metric by metric: those that another one beats, with no more bits (at equal
tokens: no more tokens) and a strictly better mean. Where none is left at or above a rate that the family did measure, the last one below
stands in, which costs less and is better than what was measured there. Two limits: means are noisy, and of two members that are alike the
luckier one is kept, which favours the fixed side by a part of their standard error that no interval here shows; and a member that lies
below the line between two others counts as long as no cheaper one is better.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.grid import RATES, Grid, Point, grid
from bench.analysis.verdicts import margin
from bench.record import MetricInfo, ranking

Word = Literal["better", "same", "worse", "undecided", "no verdict"]
How = Literal["twin", "interpolated", "cheaper", ""]

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
    how                 "twin": one measured point within TWIN of the rate; "interpolated": between two; "cheaper": the last one below,
                        which is better than those at or above the rate; "": none of these
    points, rates       the one or two fixed points used, and their measured rates, in the unit of `rate`
    passed_over         fixed points about there, by rate, that do not count: another costs no more and has a better mean of this metric
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
    passed_over: tuple[Point, ...] = ()
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
    """The verdict on `records` (columns of bench.record.Record). `margins` come before the usual ones.

    Diagnostics are left out: with them goes all that is neither better up nor down, such as a gain.
    """
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
    tested = _tested(laid_out, ranked, families, dynamic, seed)
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
    """Members of a family that stand for it at a rate, by number, with the share of each; `passed_over`: beaten ones about there."""

    how: How
    points: tuple[int, ...]
    shares: tuple[float, ...]
    passed_over: tuple[int, ...] = ()


def beaten(rates: Sequence[float], means: Sequence[float], better: np.ndarray) -> frozenset[int]:
    """Numbers of the members that do not count for one metric: one that counts has at most as much rate and a strictly better mean.

    Where scores are missing, two members are compared over the utterances that both have. Such comparisons need not form an order: members
    are gone through by rate, at one rate from the best mean on, and one that is beaten beats no other. So one member always counts, and to
    add a beaten one within the rates of the others changes nothing. A member without a rate or without any score neither counts nor beats.

    means    upward, each over all that the member has; NaN without a score
    better   bool [K, K]: the first one's mean is strictly better than the second's, over the utterances that both have
    """
    counting: list[int] = []
    known = [number for number, (rate, mean) in enumerate(zip(rates, means, strict=True)) if _is_rate(rate) and math.isfinite(mean)]
    for number in sorted(known, key=lambda number: (rates[number], -means[number])):
        if not better[counting, number].any():
            counting.append(number)
    return frozenset(known) - frozenset(counting)


def at_rate(rate: float, rates: Sequence[float], others: Sequence[float], other: float, passed_over: Collection[int] = ()) -> _Fixed | str:
    """Which of the measured `rates`, at which shares, stand for a fixed codec at `rate`; or why none can.

    others        the other rate of each (tokens for bits, bits for tokens): of several at one rate, the one nearest to `other` is taken
    passed_over   numbers of those that do not count: they say how far the family was measured, and no more
    """
    known = sorted((number for number, each in enumerate(rates) if _is_rate(each)), key=lambda number: rates[number])
    if not _is_rate(rate):
        return "the dynamic point has no measured rate"
    if not known:
        return "the family has no point with a rate and a score"

    def apart(one: float, two: float) -> float:
        return abs(math.log(one / two)) if one > 0 and two > 0 else math.inf

    def nearest(numbers: list[int]) -> int:
        closest = min(apart(rates[number], rate) for number in numbers)
        at_it = [number for number in numbers if apart(rates[number], rate) <= closest + math.log1p(TWIN)]
        return min(at_it, key=lambda number: (apart(others[number], other), apart(rates[number], rate)))

    def fixed(how: How, points: tuple[int, ...], shares: tuple[float, ...], low: float, high: float) -> _Fixed:
        return _Fixed(how, points, shares, tuple(number for number in known if number in passed_over and low <= rates[number] <= high))

    counting = [number for number in known if number not in passed_over]
    is_twin = {number: abs(rates[number] / rate - 1) <= TWIN for number in known}
    twins = [number for number in counting if is_twin[number]]
    if twins:
        twin = min(twins, key=lambda number: (apart(others[number], other), apart(rates[number], rate)))
        return fixed("twin", (twin,), (1.0,), rate * (1 - TWIN), rate * (1 + TWIN))
    below, above = ([number for number in counting if (rates[number] > rate) == side] for side in (False, True))
    if not below or not any(rates[number] > rate or is_twin[number] for number in known):
        lowest, highest = rates[known[0]], rates[known[-1]]
        return f"{rate:.4g} lies {'above' if below else 'below'} all that the family measured, {lowest:.4g} to {highest:.4g}"
    if not above:
        last = max(below, key=lambda number: (rates[number], -apart(others[number], other)))
        return fixed("cheaper", (last,), (1.0,), rates[last], math.inf)
    low, high = nearest(below), nearest(above)
    share = math.log(rate / rates[low]) / math.log(rates[high] / rates[low])
    return fixed("interpolated", (low, high), (1 - share, share), rates[low], rates[high])


def _is_rate(rate: float) -> bool:
    return math.isfinite(rate) and rate > 0


@dataclass(frozen=True)
class _Family:
    """The points of a fixed family in a grid, and what each metric makes of them.

    numbers   K points, in the order of their names: so that nothing hangs on that of the records
    rates     of AGAINST -> bit/s or Hz of each
    choices   of AGAINST -> (members without a score, members that are beaten) -> the columns of all metrics of which that holds
    """

    numbers: tuple[int, ...]
    rates: Mapping[str, Sequence[float]]
    choices: Mapping[str, Mapping[tuple[frozenset[int], frozenset[int]], list[int]]]

    def at(self, against: str, rate: float, other: float) -> dict[_Fixed | str, list[int]]:
        """What stands for the family at a rate, or why nothing does -> the columns of all metrics of which that holds."""
        found: dict[_Fixed | str, list[int]] = {}
        others = self.rates[_beside(against)]
        for (unscored, passed_over), columns in self.choices[against].items():
            scored = [math.nan if number in unscored else each for number, each in enumerate(self.rates[against])]
            found.setdefault(at_rate(rate, scored, others, other, passed_over), []).extend(columns)
        return found


def _family(laid_out: Grid, rates: Mapping[str, np.ndarray], metrics: Mapping[str, MetricInfo], codecs: Collection[str]) -> _Family:
    """The family of `codecs`; `rates` as from `_rates`."""
    named = sorted((point, number) for number, point in enumerate(laid_out.points) if point[0] in codecs)
    numbers = [number for _, number in named]
    columns = [laid_out.columns.index(name) for name in metrics]
    signs = np.array([info.sign for info in metrics.values()])
    means = stats.divide(*(each.sum(axis=0) for each in laid_out.at(numbers, columns)))
    gains = np.stack([signs * laid_out.differences(numbers, number, columns).ratio.reshape(means.shape) for number in numbers], axis=1)
    own = {against: rates[against][numbers].tolist() for against in AGAINST}
    choices: dict[str, dict[tuple[frozenset[int], frozenset[int]], list[int]]] = {against: {} for against in AGAINST}
    for against, (place, column) in itertools.product(AGAINST, enumerate(columns)):
        unscored = frozenset(np.flatnonzero(np.isnan(means[:, place])).tolist())
        passed_over = beaten(own[against], (signs[place] * means[:, place]).tolist(), gains[:, :, place] > 0)
        choices[against].setdefault((unscored, passed_over), []).append(column)
    return _Family(tuple(numbers), own, choices)


def _beside(against: str) -> str:
    return AGAINST[1 - AGAINST.index(against)]


# --- findings -----------------------------------------------------------------------------------------------------------------------


def _tested(
    laid_out: Grid, metrics: Mapping[str, MetricInfo], families: Mapping[str, tuple[str, ...]], dynamic: set[str], seed: int
) -> list[tuple[Finding, float]]:
    """Differences, intervals and p of all that the grid holds, without words, and the least p that each test could have given."""
    rates = _rates(laid_out)
    members = {name: _family(laid_out, rates, metrics, codecs) for name, codecs in families.items()}
    findings: list[Finding] = []
    gains, divisors = [], []  # float64 [U, findings] of each set of findings
    for number, (codec, point) in enumerate(laid_out.points):
        if codec not in dynamic:
            continue
        for against, (name, family) in itertools.product(AGAINST, members.items()):
            rate, other = float(rates[against][number]), float(rates[_beside(against)][number])
            for fixed_at, columns in family.at(against, rate, other).items():
                names = [Finding(codec, point, laid_out.columns[column], against, name, rate) for column in columns]
                if isinstance(fixed_at, str):
                    findings += [replace(each, why=fixed_at) for each in names]
                    gains.append(np.zeros((len(laid_out.cluster), len(columns))))
                    divisors.append(gains[-1])
                    continue
                used = [family.numbers[each] for each in fixed_at.points]
                value, fixed, divisor = laid_out.beside_mixture(number, used, fixed_at.shares, columns)
                gains.append(value - fixed)
                divisors.append(divisor)
                levels = (stats.divide(each.sum(axis=0), divisor.sum(axis=0)).tolist() for each in (value, fixed))
                facts: dict[str, Any] = {
                    "how": fixed_at.how,
                    "points": tuple(laid_out.points[each] for each in used),
                    "rates": tuple(float(rates[against][each]) for each in used),
                    "passed_over": tuple(laid_out.points[family.numbers[each]] for each in fixed_at.passed_over),
                }
                findings += [
                    replace(each, n=int(n), value=top, fixed=bottom, **facts)
                    for each, n, top, bottom in zip(names, (divisor > 0).sum(axis=0), *levels, strict=True)
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
        return replace(finding, how="", points=(), rates=(), passed_over=(), why="no utterance has the metric in all of the points")
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
