"""Paired differences, curves, BD-rate and Pareto front, held against SciPy and published examples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import interpolate
from scipy import stats as scipy_stats

from bench.analysis import stats
from bench.analysis.comparison import Comparison, Curves, at_equal_rate, compare, curve_difference, find_point, pareto_points
from bench.errors import UserError
from bench.record import MetricInfo
from tests.runs import METRICS, synthetic_records

PSNR = MetricInfo("psnr", "dB", 1, 16000, True, "", "")


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return synthetic_records(num_utterances=80, num_speakers=20)


@pytest.fixture(scope="module")
def comparison(records: pd.DataFrame) -> Comparison:
    return compare(records, METRICS, ("fixed_40", "2q"))


def curves_of(rates: dict[str, list[float]], qualities: dict[str, list[float]], info: MetricInfo = PSNR) -> Curves:
    """Curves without spread: every replicate equals the estimate."""
    points = tuple((codec, str(number)) for codec in rates for number in range(len(rates[codec])))
    values = {"bitrate": np.concatenate(list(rates.values())), info.name: np.concatenate(list(qualities.values()))}
    names = tuple(codec for codec, _ in points)
    return Curves(points, names, {name: np.tile(row, (6, 1)) for name, row in values.items()}, dict.fromkeys(values, 50))


def test_bd_rate_gives_the_published_example() -> None:
    # The x265 example in the README of FAU-LMS/bjontegaard; numbers printed by its version 1.3.0 with method="pchip",
    # which agree with the JVET spreadsheet to ten digits.
    anchor_rate, anchor_psnr = [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]
    test_rate, test_psnr = [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]
    curves = curves_of({"anchor": anchor_rate, "test": test_rate}, {"anchor": anchor_psnr, "test": test_psnr})
    result = curve_difference(curves, PSNR, "bitrate", "test", "anchor")
    assert result.bd_rate == pytest.approx(-4.417485350589045, rel=1e-9)
    assert result.bd_quality == pytest.approx(0.11969278542479489, rel=1e-9)
    assert result.quality_overlap == pytest.approx((34.987, 40.037))
    assert result.rate_overlap == pytest.approx((1358.24, 9487.76))


def test_bd_rate_equals_scipys_interpolation_and_changes_sign_with_the_direction() -> None:
    rates = {"a": [400.0, 900.0, 2100.0], "b": [500.0, 800.0, 1500.0, 4000.0, 9000.0]}
    loss = {"a": [2.1, 1.5, 1.2], "b": [2.0, 1.8, 1.4, 1.1, 1.05]}
    info = replace(PSNR, name="mel", higher_is_better=False)
    result = curve_difference(curves_of(rates, loss, info), info, "bitrate", "a", "b")
    low, high = 1.2, 2.0
    curve = {name: interpolate.PchipInterpolator(loss[name][::-1], np.log10(rates[name][::-1])) for name in rates}
    mean_gap = (curve["a"].integrate(low, high) - curve["b"].integrate(low, high)) / (high - low)
    assert result.bd_rate == pytest.approx(100 * (10**mean_gap - 1))
    assert result.quality_overlap == pytest.approx((1.2, 2.0))
    assert result.bd_rate < 0
    assert result.bd_quality < 0  # in the unit of the metric, of which less is better


def test_a_codec_that_always_spends_a_tenth_less_has_a_bd_rate_of_minus_ten() -> None:
    rate, quality = [500.0, 1000.0, 2000.0], [1.0, 2.0, 2.5]
    curves = curves_of({"b": rate, "a": [0.9 * r for r in rate]}, {"b": quality, "a": quality})
    assert curve_difference(curves, PSNR, "bitrate", "a", "b").bd_rate == pytest.approx(-10.0)


def test_points_that_spend_more_for_less_are_left_out_and_counted() -> None:
    rate, quality = [500.0, 1000.0, 1500.0, 2000.0], [1.0, 2.0, 1.7, 2.5]
    curves = curves_of({"a": rate, "b": [500.0, 1000.0, 2000.0]}, {"a": quality, "b": [1.0, 2.0, 2.5]})
    result = curve_difference(curves, PSNR, "bitrate", "a", "b")
    assert result.bd_rate == pytest.approx(0.0)
    assert result.points == (3, 3)
    assert result.dropped == (("a", "2"),)


@pytest.mark.parametrize(("top", "overlap"), [(3.0, 100.0), (2.0, 50.0), (1.21, 10.5), (1.19, None)])
def test_overlap_is_told_in_percent_and_below_ten_there_is_no_average(top: float, overlap: float | None) -> None:
    rates = {"a": [400.0, 800.0, 1600.0], "b": [500.0, 1000.0, 2000.0]}
    qualities = {"a": [1.0, 1.5, 3.0], "b": [1.0, (1.0 + top) / 2, top]}
    result = curve_difference(curves_of(rates, qualities), PSNR, "bitrate", "a", "b")
    if overlap is None:
        assert "share 9.5 % of their qualities, less than 10 %" in result.undefined
        assert np.isnan(result.bd_rate)
    else:
        assert result.overlap == pytest.approx(overlap)
        assert np.isfinite(result.bd_rate)


@pytest.mark.parametrize(
    ("rate", "quality", "reason"),
    [([500.0, 1000.0], [5.0, 6.0], "share no quality"), ([500.0], [1.5], "fewer than two"), ([900.0, 900.5], [1.2, 1.5], "fewer than two")],
    ids=["apart", "one point", "one rate"],
)
def test_where_there_is_no_bd_rate_there_is_a_reason(rate: list[float], quality: list[float], reason: str) -> None:
    curves = curves_of({"a": rate, "b": [500.0, 1000.0, 2000.0]}, {"a": quality, "b": [1.0, 2.0, 2.5]})
    result = curve_difference(curves, PSNR, "bitrate", "a", "b")
    assert np.isnan(result.bd_rate)
    assert reason in result.undefined


def test_quality_at_equal_bits_is_read_off_the_interpolated_curve() -> None:
    rates = {"a": [400.0, 1000.0, 3000.0], "b": [800.0, 5000.0]}
    qualities = {"a": [1.0, 2.0, 2.6], "b": [1.5, 3.0]}
    curves = curves_of(rates, qualities)
    expected = interpolate.PchipInterpolator(np.log10(rates["a"]), qualities["a"])(np.log10(800.0)) - 1.5
    found = at_equal_rate(curves, PSNR, "bitrate", "a", point=3)
    assert found is not None
    assert found.difference == pytest.approx(float(expected))
    assert (found.rate, found.baseline) == (800.0, ("b", "0"))
    assert at_equal_rate(curves, PSNR, "bitrate", "a", point=4) is None  # 5 kbps lies beyond the curve


def test_pareto_front_holds_what_no_other_beats() -> None:
    curves = curves_of({"a": [100.0, 200.0, 400.0], "b": [150.0, 200.0, 500.0]}, {"a": [1.0, 1.4, 3.0], "b": [2.0, 1.5, 2.9]})
    assert pareto_points(curves, PSNR, "bitrate", ["a", "b"]) == (("a", "0"), ("b", "0"), ("a", "2"))


def test_differences_are_paired_over_shared_utterances(records: pd.DataFrame, comparison: Comparison) -> None:
    found = next(d for d in comparison.differences if (d.codec, d.point, d.metric) == ("fixed_40", "1q", "pesq_wb"))
    wide = records.pivot(index="utterance", columns=["codec", "point"], values="pesq_wb")
    gap = (wide["fixed_40", "1q"] - wide["fixed_40", "2q"]).dropna()
    assert len(gap) == found.n < 80
    assert found.mean == pytest.approx(gap.mean())
    assert (found.better, found.equal, found.worse) == (int((gap > 0).sum()), int((gap == 0).sum()), int((gap < 0).sum()))
    speaker = records.drop_duplicates("utterance").set_index("utterance")["speaker"]
    spread = gap.groupby(speaker.reindex(gap.index)).agg(["sum", "count"])
    error = np.sqrt(np.sum((spread["sum"] - gap.mean() * spread["count"]) ** 2) * len(spread) / (len(spread) - 1)) / len(gap)
    half = scipy_stats.t.ppf(0.975, len(spread) - 1) * error
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_pairing_finds_what_separate_intervals_hide(records: pd.DataFrame) -> None:
    slightly = records[records["point"] == "4q"].assign(point="4q_plus")
    slightly["pesq_wb"] += 0.02 + np.random.default_rng(0).normal(0, 0.02, len(slightly))
    found = compare(pd.concat([records, slightly]), METRICS, ("fixed_40", "4q"))
    plus = next(d for d in found.differences if (d.point, d.metric) == ("4q_plus", "pesq_wb"))
    assert 0 < plus.low < 0.02 < plus.high
    assert plus.p_holm < 0.05


def test_wer_counts_fewer_errors_as_better(comparison: Comparison, records: pd.DataFrame) -> None:
    found = next(d for d in comparison.differences if (d.point, d.metric) == ("12kbps", "wer_pocketsphinx"))
    rows = {point: records[records["point"] == point] for point in ("12kbps", "2q")}
    ratio = {point: 100 * r["wer_pocketsphinx:errors"].sum() / r["wer_pocketsphinx:words"].sum() for point, r in rows.items()}
    assert found.mean == pytest.approx(ratio["12kbps"] - ratio["2q"])
    assert found.mean < 0
    assert found.better > found.worse


def test_holm_runs_over_all_differences_and_leaves_diagnostics_out(comparison: Comparison) -> None:
    assert {d.metric for d in comparison.differences} == set(METRICS) - {"delay_ms"}
    p = np.array([math.nan if d.codec == "reference" else d.p for d in comparison.differences])
    assert [d.p_holm for d in comparison.differences] == pytest.approx(stats.holm(p).tolist(), nan_ok=True)
    assert all(math.isfinite(d.mean) for d in comparison.differences if d.codec == "reference")


def test_bd_rate_interval_covers_the_effect_in_the_records(comparison: Comparison) -> None:
    result = next(c for c in comparison.curves if (c.codec, c.metric, c.against) == ("slime", "pesq_wb", "bitrate"))
    assert result.bd_rate_low < result.bd_rate < result.bd_rate_high < 0
    assert result.points == (3, 4)
    token_rate = next(c for c in comparison.curves if (c.codec, c.metric, c.against) == ("slime", "pesq_wb", "token_rate"))
    assert token_rate.bd_rate < result.bd_rate  # side information costs bits and no tokens


@pytest.mark.slow
def test_bd_rate_interval_covers_in_93_to_97_percent() -> None:
    truth = compare(synthetic_records(4000, 1000, seed=999), METRICS, ("fixed_40", "2q"))
    wanted = ("slime", "pesq_wb", "bitrate")
    true_rate = next(c.bd_rate for c in truth.curves if (c.codec, c.metric, c.against) == wanted)
    info = {"pesq_wb": METRICS["pesq_wb"]}
    covered = []
    for seed in range(400):
        found = compare(synthetic_records(120, 40, seed=seed), info, ("fixed_40", "2q"))
        result = next(c for c in found.curves if (c.codec, c.metric, c.against) == wanted)
        covered.append(result.bd_rate_low <= true_rate <= result.bd_rate_high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_same_seed_same_numbers_other_seed_other_intervals(records: pd.DataFrame, comparison: Comparison) -> None:
    again = compare(records, METRICS, ("fixed_40", "2q"))
    assert repr(again.differences) == repr(comparison.differences)
    other = compare(records, METRICS, ("fixed_40", "2q"), seed=1)
    assert [d.low for d in other.differences] == [d.low for d in comparison.differences]
    assert [c.bd_rate_low for c in other.curves] != [c.bd_rate_low for c in comparison.curves]


def test_points_over_different_words_are_refused(records: pd.DataFrame) -> None:
    altered = records.copy()
    altered.loc[altered["point"] == "1q", "wer_pocketsphinx:words"] += 1
    with pytest.raises(ValueError, match="same data"):
        compare(altered, METRICS, ("fixed_40", "2q"))


def test_unknown_baseline_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'fixed_40@2q'"):
        find_point("fixed_40@2", [("fixed_40", "2q"), ("opus", "6kbps")])
