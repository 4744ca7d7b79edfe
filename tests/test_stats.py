"""Intervals, permutation test, Holm and monotone cubics against SciPy, published examples and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import interpolate
from scipy import stats as scipy_stats

from bench.analysis import stats


def clustered(kind: str, num_clusters: int, experiments: int, rng: np.random.Generator) -> tuple[stats.ClusterSums, float]:
    """Sums of independent experiments, a column each, and the ratio they estimate; clusters of 1 to 11 correlated members."""
    size = rng.integers(1, 12, (num_clusters, experiments))
    if kind == "word errors":
        words = np.sum([np.where(member < size, rng.integers(5, 40, size.shape), 0) for member in range(11)], axis=0)
        errors = rng.binomial(words, rng.beta(1, 9, size.shape))
        return stats.ClusterSums(errors.astype(float), words.astype(float)), 0.1
    own = rng.normal(0, 0.5, size.shape)
    member = own + rng.normal(0, 0.5, (11, *size.shape))
    values = np.exp(member) if kind == "skewed" else member
    total = np.where(np.arange(11)[:, None, None] < size, values, 0.0).sum(axis=0)
    return stats.ClusterSums(total, size.astype(float)), float(np.exp(0.25)) if kind == "skewed" else 0.0


@pytest.mark.parametrize("num_clusters", [30, 60])
@pytest.mark.parametrize("kind", ["normal", "skewed", "word errors"])
def test_interval_covers_the_truth_in_93_to_97_percent(kind: str, num_clusters: int) -> None:
    experiments = 4000  # the share then has a standard error of 0.3 %
    sums, truth = clustered(kind, num_clusters, experiments, np.random.default_rng(11))
    low, high = stats.level_interval(sums, stats.resampling_weights(num_clusters, seed=0))
    covered = np.mean((low <= truth) & (truth <= high))
    assert 0.93 <= covered <= 0.97


def test_ignoring_the_clusters_would_cover_too_little() -> None:
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(30), 10)
    values = rng.normal(0, 1, (30, 500))[cluster] + rng.normal(0, 1, (300, 500))
    covered = []
    for grouping in (cluster, np.arange(300)):
        sums = stats.cluster_sums(values, np.ones_like(values), grouping)
        low, high = stats.ratios(sums).student()
        covered.append(np.mean((low <= 0) & (0 <= high)))
    assert covered[0] > 0.9
    assert covered[1] < 0.75


def test_bootstrap_equals_one_written_out_with_loops() -> None:
    sums, _ = clustered("word errors", 12, 3, np.random.default_rng(5))
    weights = stats.resampling_weights(12, seed=1, replicates=400)
    found, fast = stats.ratios(sums), stats.bootstrap_t(sums, weights)

    def ratio_and_error(errors: np.ndarray, words: np.ndarray) -> tuple[float, float]:
        ratio = errors.sum() / words.sum()
        return ratio, np.sqrt(12 / 11 * np.sum((errors - ratio * words) ** 2)) / words.sum()

    for column in range(3):
        errors, words = sums.numerator[:, column], sums.denominator[:, column]
        ratio, error = ratio_and_error(errors, words)
        assert (found.estimate[column], found.error[column]) == pytest.approx((ratio, error))
        t = []
        for counts in weights.astype(int):
            drawn = np.repeat(np.arange(12), counts)
            again, again_error = ratio_and_error(errors[drawn], words[drawn])
            t.append((again - ratio) / max(again_error, stats.SPREAD_FLOOR * error))
        assert fast[:, column] == pytest.approx(np.array(t), rel=1e-9)


def test_levels_of_any_sign_have_bootstrap_t_and_positive_ones_reach_as_far_as_their_logarithm() -> None:
    values = np.random.default_rng(2).normal(0, 1, (30, 1))
    weights = stats.resampling_weights(30, seed=0)
    signed, skewed = (stats.ClusterSums(each, np.ones((30, 1))) for each in (values, np.exp(2 * values)))
    found, t = stats.ratios(signed), stats.bootstrap_t(signed, weights)
    low, high = stats.level_interval(signed, weights)
    assert (low[0], high[0]) == pytest.approx(tuple(found.estimate[0] - np.quantile(t, [0.975, 0.025]) * found.error[0]))
    found, t = stats.ratios(skewed), stats.bootstrap_t(skewed, weights)
    low, high = stats.level_interval(skewed, weights)
    reach = np.exp(scipy_stats.t.ppf(0.975, 29) * found.error[0] / found.estimate[0])
    assert low[0] == pytest.approx(min(found.estimate[0] - np.quantile(t, 0.975) * found.error[0], found.estimate[0] / reach))
    assert high[0] == pytest.approx(max(found.estimate[0] - np.quantile(t, 0.025) * found.error[0], found.estimate[0] * reach))


def test_standard_error_and_interval_are_those_of_students_test_without_clusters() -> None:
    values = np.random.default_rng(0).normal(size=(25, 1))
    found = stats.ratios(stats.cluster_sums(values, np.ones_like(values), np.arange(25)))
    assert found.error[0] == pytest.approx(scipy_stats.sem(values[:, 0]))
    expected = scipy_stats.ttest_1samp(values[:, 0], 0.0).confidence_interval()
    assert (found.student()[0][0], found.student()[1][0]) == pytest.approx((expected.low, expected.high))
    for ours, alternative in ((found.p_above(0.3)[0], "greater"), (found.p_below(0.3)[0], "less")):
        assert ours == pytest.approx(scipy_stats.ttest_1samp(values[:, 0], 0.3, alternative=alternative).pvalue)


@pytest.mark.parametrize("num_clusters", [1, 2, 3, 4, 5])
def test_intervals_begin_at_three_clusters_and_are_students_below_five(num_clusters: int) -> None:
    sums = stats.ClusterSums(np.random.default_rng(0).normal(size=(num_clusters, 1)), np.ones((num_clusters, 1)))
    low, high = stats.level_interval(sums, stats.resampling_weights(num_clusters, seed=0))
    student = stats.ratios(sums).student()
    assert np.isfinite([low[0], high[0]]).all() == (num_clusters >= 3)
    assert np.isfinite([student[0][0], stats.ratios(sums).p_above(0.0)[0]]).all() == (num_clusters >= 3)
    if num_clusters in (3, 4):
        assert (low[0], high[0]) == (student[0][0], student[1][0])


def test_interval_is_repeatable() -> None:
    sums, _ = clustered("normal", 20, 1, np.random.default_rng(0))
    first, again, other = (stats.level_interval(sums, stats.resampling_weights(20, seed))[0][0] for seed in (0, 0, 1))
    assert first == again != other


def test_one_rare_error_gives_a_finite_interval() -> None:
    errors = np.zeros((24, 1))
    errors[3] = 1.0
    low, high = stats.level_interval(stats.ClusterSums(errors, np.full((24, 1), 10.0)), stats.resampling_weights(24, seed=0))
    assert np.isfinite([low, high]).all()
    assert low[0] <= 1 / 240 < high[0]


def test_column_without_spread_has_an_interval_of_no_width() -> None:
    sums = stats.ClusterSums(np.full((9, 1), 2.0), np.ones((9, 1)))
    low, high = stats.level_interval(sums, stats.resampling_weights(9, seed=0))
    assert low[0] == high[0] == 2.0
    assert (stats.ratios(sums).p_above(1.9)[0], stats.ratios(sums).p_above(2.0)[0], stats.ratios(sums).p_below(1.9)[0]) == (0.0, 0.5, 1.0)


def test_missing_column_is_not_a_number() -> None:
    nothing = stats.ClusterSums(np.zeros((9, 1)), np.zeros((9, 1)))
    found = stats.ratios(nothing)
    assert np.isnan([found.estimate, *found.student(), *stats.level_interval(nothing, stats.resampling_weights(9, seed=0))]).all()
    assert np.isnan(stats.sign_flip_p(nothing, seed=0)[0])


@pytest.mark.parametrize("num_clusters", [3, 6, 12])
def test_sign_flips_equal_scipys_exact_permutation_test(num_clusters: int) -> None:
    differences = np.random.default_rng(2).normal(0.4, 1, (num_clusters, 3))
    ours = stats.sign_flip_p(stats.ClusterSums(differences, np.ones_like(differences)), seed=0)
    for column in range(3):
        theirs = scipy_stats.permutation_test((differences[:, column],), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert ours[column] == pytest.approx(theirs.pvalue)


def test_sampled_sign_flips_agree_with_scipy_within_their_noise() -> None:
    differences = np.random.default_rng(4).normal(0.25, 1, (60, 1))
    ours = stats.sign_flip_p(stats.ClusterSums(differences, np.ones_like(differences)), seed=0)[0]
    theirs = scipy_stats.permutation_test(
        (differences[:, 0],), np.sum, permutation_type="samples", n_resamples=20000, rng=np.random.default_rng(0)
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.012)
    assert stats.sign_flip_p(stats.ClusterSums(differences + 9, np.ones_like(differences)), seed=0)[0] == 1 / (stats.FLIPS + 1)


def test_sign_flips_raise_few_false_alarms_under_clustered_noise() -> None:
    sums, _ = clustered("normal", 30, 2000, np.random.default_rng(8))
    assert np.mean(stats.sign_flip_p(sums, seed=0) <= 0.05) == pytest.approx(0.05, abs=0.012)


def test_fourteen_speakers_are_enumerated_so_that_no_seed_matters() -> None:
    differences = np.random.default_rng(4).normal(0.5, 1, (14, 2))
    sums = stats.ClusterSums(differences, np.ones_like(differences))
    assert stats.sign_flip_p(sums, seed=0).tolist() == stats.sign_flip_p(sums, seed=1).tolist()
    signs = 1 - 2 * ((np.arange(2**14)[:, None] >> np.arange(14)) & 1)
    expected = (np.abs(signs @ differences) >= np.abs(differences.sum(axis=0)) - 1e-9).mean(axis=0)
    assert stats.sign_flip_p(sums, seed=0) == pytest.approx(expected)


@pytest.mark.parametrize("num_clusters", [1, 3, 6, 14, 20])
def test_the_least_p_is_that_of_differences_of_one_sign(num_clusters: int) -> None:
    sums = stats.ClusterSums(np.ones((num_clusters, 1)), np.ones((num_clusters, 1)))
    assert stats.least_p(sums)[0] == pytest.approx(stats.sign_flip_p(sums, seed=0)[0], abs=1.0e-4)
    assert stats.sign_flip_p(sums, seed=0)[0] >= stats.least_p(sums)[0] - 1e-12


def test_holm_gives_the_published_example() -> None:
    # The worked example of Wikipedia's "Holm-Bonferroni method", also what R's p.adjust(..., "holm") prints.
    assert stats.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = stats.holm(np.array([[0.01, np.nan], [0.6, 0.7]]))
    assert adjusted == pytest.approx(np.array([[0.03, np.nan], [1.0, 1.0]]), nan_ok=True)


@pytest.mark.parametrize("knots", [2, 3, 4, 9])
@pytest.mark.parametrize("monotone", [True, False], ids=["monotone", "wavy"])
def test_monotone_cubic_equals_scipys(knots: int, monotone: bool) -> None:
    rng = np.random.default_rng(knots)
    x = rng.uniform(0.1, 1, (5, knots)).cumsum(axis=1)
    y = rng.normal(size=(5, knots))
    y = np.abs(y).cumsum(axis=1) if monotone else y
    low, high = x[:, 0] + 0.1 * (x[:, -1] - x[:, 0]), x[:, 0] + 0.83 * (x[:, -1] - x[:, 0])
    for row in range(5):
        scipys = interpolate.PchipInterpolator(x[row], y[row])
        assert stats.pchip_integral(x, y, low, high)[row] == pytest.approx(float(scipys.integrate(low[row], high[row])), rel=1e-10)
        assert stats.pchip_at(x, y, high)[row] == pytest.approx(float(scipys(high[row])), rel=1e-10)
        assert stats.pchip_at(x, y, x[:, -1])[row] == pytest.approx(y[row, -1])
    assert np.isnan(stats.pchip_at(x, y, x[:, -1] + 1e-6)).all()


def test_percentile_interval_widens_with_few_clusters() -> None:
    replicates = np.random.default_rng(0).normal(size=4000)
    widths = [np.subtract(*stats.percentile_interval(replicates, clusters)[::-1]) for clusters in (8, 30, 10_000)]
    assert widths[0] > widths[1] > widths[2] == pytest.approx(2 * 1.96, rel=0.05)


def test_percentiles_of_what_is_known_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=(31, 5))
    values[values > 0.8] = np.nan
    values[:, 3] = np.nan
    values[1:, 4] = np.nan
    expected = np.array([np.percentile(column[np.isfinite(column)], [5, 50, 95]) for column in values.T if np.isfinite(column).any()]).T
    found = stats.percentiles(values, [5, 50, 95])
    assert np.isnan(found[:, 3]).all()
    assert np.array_equal(np.delete(found, 3, axis=1), expected)


def test_many_columns_are_as_if_each_stood_alone() -> None:
    rng = np.random.default_rng(1)
    sums = stats.ClusterSums(rng.normal(1, 1, (20, 2 * stats.COLUMNS_AT_ONCE + 3)), np.ones((20, 2 * stats.COLUMNS_AT_ONCE + 3)))
    weights = stats.resampling_weights(20, seed=0, replicates=200)
    p, bounds = stats.sign_flip_p(sums, seed=0), stats.level_interval(sums, weights)
    for column in (0, stats.COLUMNS_AT_ONCE, 2 * stats.COLUMNS_AT_ONCE + 2):
        alone = stats.ClusterSums(sums.numerator[:, [column]], sums.denominator[:, [column]])
        assert stats.sign_flip_p(alone, seed=0)[0] == p[column]
        assert np.array(stats.level_interval(alone, weights))[:, 0] == pytest.approx(np.array(bounds)[:, column], rel=1e-9)
