"""The promises of intervals and tests, in simulations whose truth is known: speakers by utterances, correlated, skewed, hallucinated.

Each is a slow test, and prints what it found: `pytest -m slow -s tests/test_coverage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bench.analysis import stats

EXPERIMENTS = 6000  # the standard error of a coverage of 95 % is then 0.28 %
DESIGNS = ((3, 20), (5, 10), (9, 10), (14, 2), (40, 10))  # speakers, utterances of each; 1 x 200 has a test of its own
ICCS = (0.0, 0.3, 0.6)  # share of the variance that lies between speakers
KINDS = ("normal", "lognormal", "WER 5 %", "WER 2 %")
HALLUCINATED = 0.004  # share of utterances


@dataclass(frozen=True)
class Sample:
    """Sums over the utterances of each speaker, float64 [S, EXPERIMENTS].

    given    errors of hallucinated utterances, 0 elsewhere; not in `score`
    truth    of score / count
    """

    score: np.ndarray
    count: np.ndarray
    given: np.ndarray
    truth: float


def deviates(design: tuple[int, int], icc: float, rng: np.random.Generator) -> np.ndarray:
    """Standard normal, float64 [S, U, EXPERIMENTS], of which the share `icc` is the speaker's."""
    speakers, utterances = design
    own = rng.standard_normal((speakers, utterances, EXPERIMENTS))
    return np.sqrt(icc) * rng.standard_normal((speakers, 1, EXPERIMENTS)) + np.sqrt(1 - icc) * own


def sample(kind: str, z: np.ndarray, words: np.ndarray, rng: np.random.Generator, gain: float = 0.0) -> Sample:
    """Scores of one system whose utterances are as hard as `z` says; `gain` is a share of the level."""
    nothing = np.zeros(z.shape[::2])
    count = np.full(z.shape[::2], float(z.shape[1]))
    if kind == "normal":
        return Sample(((1 + gain) * 3 + z).sum(axis=1), count, nothing, (1 + gain) * 3)
    if kind == "lognormal":
        return Sample(((1 + gain) * np.exp(0.5 * z)).sum(axis=1), count, nothing, (1 + gain) * float(np.exp(0.125)))
    rate = (0.05 if kind == "WER 5 %" else 0.02) * (1 + gain)
    # the share of wrong words is lognormal, cut at 90 %, which moves its mean by less than a thousandth
    errors = rng.binomial(words, np.minimum(rate * np.exp(0.75 * z - 0.28125), 0.9))
    hallucinated = rng.random(z.shape) < HALLUCINATED
    score, given = np.where(hallucinated, 0.0, errors), np.where(hallucinated, words * rng.uniform(3, 8, z.shape), 0.0)
    return Sample(score.sum(axis=1), words.sum(axis=1).astype(np.float64), given.sum(axis=1), rate * (1 - HALLUCINATED))


def told(rows: list[tuple[str, float]]) -> str:
    return "\n".join(f"{name}: {100 * share:.1f} %" for name, share in rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_levels_cover_in_every_design(kind: str) -> None:
    rows = []
    for number, design in enumerate(DESIGNS):
        for icc in ICCS:
            rng = np.random.default_rng([number, int(10 * icc), KINDS.index(kind)])
            z = deviates(design, icc, rng)
            words = rng.integers(5, 36, z.shape)
            one = sample(kind, z, words, rng)
            weights = stats.resampling_weights(design[0], seed=0, replicates=1000)
            low, high = stats.level_interval(stats.ClusterSums(one.score, one.count), weights)
            rows.append((f"level, {kind}, {design[0]}x{design[1]}, ICC {icc}", float(np.mean((low <= one.truth) & (one.truth <= high)))))
    print("\n" + told(rows))
    assert all(0.925 <= share <= 0.97 for _, share in rows), told(rows)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_differences_cover_and_tests_raise_few_false_alarms(kind: str, gain: float) -> None:
    coverage, alarms = [], []
    for number, design in enumerate(DESIGNS):
        for icc in ICCS:
            rng = np.random.default_rng([number, int(10 * icc), KINDS.index(kind), int(100 * gain)])
            hard = deviates(design, 0.5, rng)
            words = rng.integers(5, 36, hard.shape)
            share = np.sqrt(0.6), np.sqrt(0.4)  # of the variance, what all systems find hard, and what is a system's own
            first, second = (
                sample(kind, share[0] * hard + share[1] * deviates(design, icc, rng), words, rng, level) for level in (0.0, gain)
            )
            sums = stats.ClusterSums(second.score - first.score, first.count)
            found = stats.ratios(sums)
            low, high = found.student()
            truth = second.truth - first.truth
            name = f"{kind}, gain {gain}, {design[0]}x{design[1]}, ICC {icc}"
            coverage.append((f"difference, {name}", float(np.mean((low <= truth) & (truth <= high)))))
            if gain == 0.0:
                whole = stats.ClusterSums(sums.numerator + second.given - first.given, sums.denominator)
                tested = stats.ratios(whole)
                one_sided = {"worse": tested.p_below(0.0), "improved": tested.p_above(0.0)}
                alarms += [(f"regress {word}, {name}", float(np.mean(p <= 0.05))) for word, p in one_sided.items()]
                alarms.append((f"sign flips, {name}", float(np.mean(stats.sign_flip_p(whole, seed=0, flips=999) <= 0.05))))
    print("\n" + told(coverage + alarms))
    assert all(0.925 <= share <= 0.97 for _, share in coverage), told(coverage)
    noise = 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)  # of the largest of 45 rates that are 5 % exactly, as Student's for normal scores
    assert all(share <= 0.05 + noise for _, share in alarms), told(alarms)
