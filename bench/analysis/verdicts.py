"""A candidate's records against a baseline's -> verdicts: is the new checkpoint worse anywhere that matters? No I/O.

Each metric at each point is one check: the paired difference over the utterances that both have, tested three times by a one-sided
Student's t over speakers (over utterances, where speakers are unknown), Holm over all checks:
  improved    a gain is shown
  same        a loss of the margin or more is excluded (non-inferiority)
  worse       a loss is shown and the best estimate of it exceeds the margin; or utterances fail that the baseline could score
  undecided   neither; `needed` utterances would decide it
So two models that do not differ are called worse, anywhere, in no more than `alpha` of all comparisons, and improved in no more either;
tests/test_coverage.py shows it for few speakers and for many. Below stats.MIN_CLUSTERS speakers nothing is tested.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from bench.analysis import stats
from bench.analysis.comparison import at_equal_rate, resampled_curves
from bench.analysis.grid import Grid, grid
from bench.record import CODEC, MetricInfo, failures_of, ranking

Verdict = Literal["improved", "same", "worse", "undecided"]


@dataclass(frozen=True)
class Margin:
    """The loss that still passes, of the metrics whose name matches `pattern`: in the metric's unit, or "2%" of the baseline's mean."""

    pattern: str
    loss: float | str
    why: str


# The first that matches counts; `regress: {margins: {stoi: 0.01}}` in a suite goes before. The yardstick are the smallest gains that
# CodecSlime's ablation claims (Tables 2 and 3: 0.06 PESQ, 0.05 UTMOS, 0.6 points of WER): a loss that would undo one must not pass.
MARGINS = (
    Margin("mel_*", "2%", "of the level: noise in a decoder reaches it between STOI's margin and PESQ's (regress_power.py)"),
    Margin("stft_*", "2%", "as mel"),
    Margin("estoi", 0.01, "spreads about twice as wide as STOI"),
    Margin("*stoi", 0.005, "half of what a paper's second decimal shows"),
    Margin("*pesq*", 0.05, "MOS: under the smallest claimed gain"),
    Margin("*mos*", 0.05, "MOS: UTMOS's smallest claimed gain"),
    Margin("visqol_*", 0.05, "MOS: as UTMOS"),
    Margin("*si_sdr", 0.2, "dB: neural codecs lie around 0 dB, where a share would mean nothing"),
    Margin("sim_*", 0.01, "cosine: a paper's second decimal"),
    Margin("secs_*", 0.01, "cosine: a paper's second decimal"),
    Margin("*wer_*", 0.5, "percentage points: under the smallest claimed gain"),
    Margin("*cer_*", 0.25, "percentage points: half of WER's"),
    Margin("f0_*", "5%", "of the level: an error that varies much between utterances"),
    Margin("per_*", 0.5, "percentage points: as WER"),
    Margin("vuv_error*", 0.5, "percentage points of the frames"),
    Margin("vuv_f1*", 0.005, "as vuv_error"),
    Margin("bitrate", "1%", "of the bits: quality must not be bought with them unseen"),
    Margin("frame_rate", "1%", "as bitrate"),
    Margin("encode_rtf", "300%", "four times the time: less is within what a busy machine does to the same code"),
    Margin("decode_rtf", "300%", "as encode_rtf"),
    Margin("*", "2%", "any other metric: of the level"),
)

_SPEED = {
    f"{verb}_rtf": MetricInfo(f"{verb}_rtf", "s/s", 1, 0, False, f"Seconds to {verb} a second of audio.", "bench.record")
    for verb in ("encode", "decode")
}
_RATES = {
    "bitrate": MetricInfo("bitrate", "bit/s", 1, 0, False, "Token and side bits over seconds of audio.", "bench.record"),
    "frame_rate": MetricInfo("frame_rate", "Hz", 1, 0, False, "Token frames over seconds of audio.", "bench.record"),
}

POWER = 0.8  # at `Check.needed` utterances a verdict falls with this probability, if the truth is what was estimated
WORST = 10  # utterances listed
_OTHER_RATE = 0.001  # relative; bitrates that differ by more are compared at equal bits too


@dataclass(frozen=True)
class EqualBits:
    """Candidate less baseline at the candidate's bitrate, interpolated on the baseline's curve; 95 % interval; in the metric's unit."""

    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """One metric at one point. Signs are the metric's own: a positive change of a distance is a loss.

    n                     utterances that both have; `failed`: those that the baseline could score and the candidate could not
    baseline, candidate   means over those n, in the metric's unit
    low, high             of the change, by one-sided tests at alpha each, before Holm
    p_loss, p_within, p_gain   after Holm, of: no loss; a loss of the margin or more; no gain
    needed                utterances, as many a speaker as now, or as many as any test takes where there are too few to tell the spread;
                          None where decided, or where the loss is just the margin
    equal_bits            where the bitrates differ and the baseline's curve reaches the candidate's
    """

    point: str
    metric: str
    unit: str
    higher_is_better: bool
    n: int
    failed: int
    baseline: float
    candidate: float
    change: float
    low: float
    high: float
    margin: float
    p_loss: float
    p_within: float
    p_gain: float
    verdict: Verdict
    needed: int | None = None
    equal_bits: EqualBits | None = None


@dataclass(frozen=True)
class Utterance:
    """One of the worst: the metric that lost most, measured by how much that metric's differences vary.

    reason   why it failed, in place of a score
    *_audio  files; "" where there is none
    """

    dataset: str
    utterance: str
    point: str
    metric: str
    baseline: float
    candidate: float
    reason: str = ""
    reference_audio: str = ""
    baseline_audio: str = ""
    candidate_audio: str = ""


@dataclass(frozen=True)
class Regression:
    """All checks of one candidate; `notes` say what could not be checked."""

    codec: str
    checks: tuple[Check, ...]
    worst: tuple[Utterance, ...]
    clusters: int
    clustered_by: str
    alpha: float
    notes: tuple[str, ...] = ()

    def having(self, verdict: Verdict) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict == verdict)

    def failing(self, strict: bool = False) -> tuple[Check, ...]:
        """What is worse; `strict`: or undecided, save speed, which more utterances do not decide where the machine is restless."""
        undecided = [check for check in self.having("undecided") if check.metric not in _SPEED]
        return (*self.having("worse"), *(undecided if strict else ()))

    def passed(self, strict: bool = False) -> bool:
        return not self.failing(strict)


def regress(
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    metrics: Mapping[str, MetricInfo],
    *,
    margins: Mapping[str, float | str] | None = None,
    alpha: float = 0.05,
    speed: bool = True,
    seed: int = 0,
) -> Regression:
    """Checks of every metric that ranks, of bits, of frames and of speed, at every point of `candidate`.

    baseline, candidate   records of one codec each (columns of bench.record.Record); `baseline` may hold more points, for its curve
    margins               by metric, before MARGINS
    speed                 whether both ran on the same kind of machine
    """
    ranked = ranking(metrics)
    asked = {**ranked, **_RATES, **(_SPEED if speed else {})}
    codec = str(candidate["codec"].iloc[0])
    same_utterances = baseline.set_index(["dataset", "utterance"]).index.isin(candidate.set_index(["dataset", "utterance"]).index)
    sides = {"baseline": baseline[same_utterances], "candidate": candidate}
    records = pd.concat([_side(rows, name) for name, rows in sides.items()], ignore_index=True)
    laid_out = grid(records, {**ranked, **_SPEED}, seed=seed)
    points = [point for side, point in laid_out.points if side == "candidate" and ("baseline", point) in laid_out.points]
    failures = _new_failures(sides["baseline"], candidate, ranked)

    places = list(itertools.product(points, asked.values()))
    gains = _gains(laid_out, points, asked)
    means = np.concatenate([_paired_means(laid_out, point, list(asked)) for point in points])
    losses = np.array([margin(info.name, margins or {}, means[row, 0]) for row, (_, info) in enumerate(places)])
    checks, notes = [], []
    for (point, info), test, (before, after, n), loss in zip(places, _tests(gains, losses, alpha), means, losses, strict=True):
        failed = len(failures.get((point, info.name), ()))
        if not n and not failed:
            notes.append(f"{info.name} at {point}: no utterance has it in both")
            continue
        low, high = sorted((info.sign * test.low, info.sign * test.high))
        verdict = "worse" if failed else _verdict(test, loss, alpha)
        checks.append(
            Check(
                point=point,
                metric=info.name,
                unit=info.unit,
                higher_is_better=info.higher_is_better,
                n=int(n),
                failed=failed,
                baseline=float(before),
                candidate=float(after),
                change=info.sign * test.gain,
                low=low,
                high=high,
                margin=float(loss),
                p_loss=test.p_loss,
                p_within=test.p_within,
                p_gain=test.p_gain,
                verdict=verdict,
                needed=_needed(test, loss, int(n), alpha / len(places)) if verdict == "undecided" else None,
            )
        )
    checks = _with_equal_bits(checks, laid_out, ranked, seed)
    worst = _worst(sides["baseline"], candidate, ranked, checks, failures)
    clusters = len(np.unique(laid_out.cluster))
    return Regression(codec, tuple(checks), tuple(worst), clusters, laid_out.clustered_by, alpha, tuple(notes))


def margin(metric: str, own: Mapping[str, float | str], baseline_mean: float) -> float:
    """The loss in the metric's unit that still passes: the suite's own, else that of MARGINS."""
    loss = own[metric] if metric in own else next(each.loss for each in MARGINS if fnmatch.fnmatchcase(metric, each.pattern))
    return float(loss.rstrip("%")) / 100 * abs(baseline_mean) if isinstance(loss, str) else float(loss)


def _side(records: pd.DataFrame, name: str) -> pd.DataFrame:
    """`records` under the name of their side, with the speeds as columns."""
    speeds = {f"{verb}_rtf": records[f"{verb}_s"] / records["duration_s"] for verb in ("encode", "decode")}
    return records.assign(codec=name, **{column: speed.where(speed > 0) for column, speed in speeds.items()})


def _gains(laid_out: Grid, points: Sequence[str], asked: Mapping[str, MetricInfo]) -> stats.ClusterSums:
    """Candidate less baseline, positive where better: [C, points * asked]."""
    numbers = [laid_out.columns.index(name) for name in asked]
    upward = np.array([info.sign for info in asked.values()])
    sums = []
    for point in points:
        candidate, baseline = laid_out.points.index(("candidate", point)), laid_out.points.index(("baseline", point))
        sums.append(laid_out.differences([candidate], baseline, numbers))
    return stats.ClusterSums(np.hstack([s.numerator * upward for s in sums]), np.hstack([s.denominator for s in sums]))


def _paired_means(laid_out: Grid, point: str, names: Sequence[str]) -> np.ndarray:
    """Baseline's mean, candidate's mean and the number of utterances that both have, float64 [columns, 3]."""
    numbers = [laid_out.columns.index(name) for name in names]
    rows = [laid_out.points.index((side, point)) for side in ("baseline", "candidate")]
    numerator, denominator = laid_out.at(rows, numbers)
    both = np.min(denominator, axis=1, keepdims=True) > 0
    totals = stats.divide(np.where(both, numerator, 0.0).sum(axis=0), np.where(both, denominator, 0.0).sum(axis=0))
    return np.vstack([totals, both[:, 0, :].sum(axis=0)]).T


# --- tests ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Test:
    """The gain of one check, positive where better; p after Holm, NaN where there are too few clusters.

    clusters    that hold something
    unchanged   not one utterance differs
    """

    gain: float
    error: float
    low: float
    high: float
    p_loss: float
    p_within: float
    p_gain: float
    clusters: int
    unchanged: bool


def _tests(gains: stats.ClusterSums, margins: np.ndarray, alpha: float) -> list[_Test]:
    """One-sided tests by Student's t of every column of `gains` [C, K] against 0 and against -margins [K], Holm over the columns."""
    found = stats.ratios(gains)
    p_loss, p_within, p_gain = (stats.holm(p) for p in (found.p_below(0.0), found.p_above(-margins), found.p_above(0.0)))
    unchanged = (found.clusters > 0) & ~gains.numerator.any(axis=0)
    columns = (found.estimate, found.error, *found.student(1 - 2 * alpha), p_loss, p_within, p_gain, found.clusters, unchanged)
    return [_Test(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _verdict(test: _Test, margin: float, alpha: float) -> Verdict:
    if test.p_loss <= alpha and test.gain < -margin:
        return "worse"
    if test.unchanged:
        return "same"
    if test.p_gain <= alpha:
        return "improved"
    return "same" if test.p_within <= alpha else "undecided"


def _needed(test: _Test, margin: float, n: int, level: float) -> int | None:
    """Utterances at which the present estimate would be enough for `same`, or for `worse` if it is beyond the margin.

    By the normal approximation, at Holm's first step (`level`): the error falls with the root of n.
    """
    if math.isnan(test.error):  # too few clusters to tell the spread: as many as any test takes
        return math.ceil(n * stats.MIN_CLUSTERS / test.clusters)
    distance = test.gain + margin if test.gain > -margin else -test.gain
    quantiles = float(special.ndtri(1 - level) + special.ndtri(POWER))
    return max(n + 1, math.ceil(n * (quantiles * test.error / distance) ** 2)) if distance > 0 else None


# --- beside the verdicts --------------------------------------------------------------------------------------------------------


def _with_equal_bits(checks: Sequence[Check], laid_out: Grid, ranking: Mapping[str, MetricInfo], seed: int) -> list[Check]:
    rates = {check.point: check for check in checks if check.metric == "bitrate"}
    moved = {point for point, rate in rates.items() if abs(rate.change) > _OTHER_RATE * rate.baseline}
    if not moved:
        return list(checks)
    curves = resampled_curves(laid_out, seed)
    told = []
    for check in checks:
        if check.point in moved and check.metric in ranking:
            number = laid_out.points.index(("candidate", check.point))
            equal = at_equal_rate(curves, ranking[check.metric], "bitrate", "baseline", number)
            if equal is not None:  # it gives the curve less the candidate
                check = dataclasses.replace(check, equal_bits=EqualBits(-equal.difference, -equal.high, -equal.low))
        told.append(check)
    return told


_Unit = tuple[str, str]  # data set, utterance


def _new_failures(
    baseline: pd.DataFrame, candidate: pd.DataFrame, ranking: Mapping[str, MetricInfo]
) -> dict[tuple[str, str], dict[_Unit, str]]:
    """(point, metric) -> utterances that have a score in the baseline and a failure in the candidate, with its reason."""
    scored = baseline.set_index(["point", "dataset", "utterance"])
    found: dict[tuple[str, str], dict[_Unit, str]] = {}
    places = zip(candidate["point"], candidate["dataset"], candidate["utterance"], strict=True)
    for place, reasons in zip(places, failures_of(candidate), strict=True):
        for name in ranking if reasons else ():
            reason = reasons.get(name, reasons.get(CODEC))
            if reason is not None and name in scored and place in scored.index and pd.notna(scored.at[place, name]):
                found.setdefault((place[0], name), {})[place[1:]] = reason
    return found


def _worst(
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    ranking: Mapping[str, MetricInfo],
    checks: Sequence[Check],
    failures: Mapping[tuple[str, str], Mapping[_Unit, str]],
) -> list[Utterance]:
    """What failed, then the greatest losses in units of their metric's spread; of the metrics that are worse, where some are."""
    keys = ["point", "dataset", "utterance"]
    pairs = candidate.merge(baseline, on=keys, suffixes=("", " of the baseline"))
    rows: list[tuple[float, Utterance]] = []
    worse = {(check.point, check.metric) for check in checks if check.verdict == "worse" and check.metric in ranking}
    for check in checks:
        name = check.metric
        if name not in ranking or (worse and (check.point, name) not in worse):
            continue
        here = pairs[pairs["point"] == check.point]
        before, now = here[f"{name} of the baseline"].to_numpy(np.float64), here[name].to_numpy(np.float64)
        loss = (before - now) * ranking[name].sign
        spread = float(np.sqrt(np.nanmean(loss**2))) if np.isfinite(loss).any() else 0.0
        reasons = failures.get((check.point, name), {})
        for row, lost, old, new in zip(here.to_dict("records"), loss, before, now, strict=True):
            reason = reasons.get((row["dataset"], row["utterance"]), "")
            audio = {f"{side}_audio": str(row.get(column) or "") for side, column in _AUDIO.items()}
            if reason or lost > 0:
                utterance = Utterance(row["dataset"], row["utterance"], check.point, name, float(old), float(new), reason, **audio)
                rows.append((math.inf if reason else lost / spread, utterance))
    worst: dict[_Unit, Utterance] = {}
    for _, utterance in sorted(rows, key=lambda row: -row[0]):
        worst.setdefault((utterance.dataset, utterance.utterance), utterance)
    return list(worst.values())[:WORST]


_AUDIO = {"candidate": "audio_file", "baseline": "audio_file of the baseline"}
