"""Published numbers: how their file is read, and the differences from what was measured."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.analysis.papers import Gap, against_papers
from bench.analysis.summary import summary
from bench.errors import UserError
from bench.published import Published, published_of, read_published
from bench.suite import load_suite
from tests.runs import METRICS, run_info, synthetic_records

HEAD = "suite,system,entry,metric,value,unit,source,doubt\n"


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return synthetic_records(num_utterances=40, num_speakers=12)


def figure(codec: str, point: str, metric: str, value: float) -> Published:
    return Published(codec, point, metric, value, "", "Table 1", "")


def gap(records: pd.DataFrame, codec: str, point: str, metric: str, value: float) -> Gap:
    (found,) = against_papers(summary(records, METRICS), [figure(codec, point, metric, value)])
    return found


def test_difference_is_measured_less_published_with_the_interval_of_the_mean(records):
    own = records[(records["codec"] == "slime") & (records["point"] == "50hz")]
    found = gap(records, "slime", "50hz", "pesq_wb", 1.85)
    assert found.n == 40
    assert found.difference == pytest.approx(own["pesq_wb"].mean() - 1.85)
    cell = next(row for row in summary(records, METRICS).rows if row.point == "50hz").cells["pesq_wb"]
    assert (found.difference_low, found.difference_high) == pytest.approx((cell.low - 1.85, cell.high - 1.85))
    assert found.difference_low < found.difference < found.difference_high


def test_word_errors_are_summed_over_the_corpus_before_the_paper_is_subtracted(records):
    own = records[(records["codec"] == "fixed_40") & (records["point"] == "4q")]
    percent = 100 * own["wer_pocketsphinx:errors"].sum() / own["wer_pocketsphinx:words"].sum()
    found = gap(records, "fixed_40", "4q", "wer_pocketsphinx", 5.0)
    assert found.difference == pytest.approx(percent - 5.0)
    assert found.n == 20  # English only


def test_utterances_that_failed_are_not_in_n(records):
    assert gap(records, "fixed_40", "1q", "pesq_wb", 2.0).n == 35


@pytest.mark.parametrize("rate", ["frame_rate", "nominal_bitrate"])
def test_rates_are_held_against_totals_over_seconds_and_have_no_interval(records, rate):
    own = records[(records["codec"] == "slime") & (records["point"] == "50hz")]
    amount = own["token_frames" if rate == "frame_rate" else "bits_tokens"].sum()
    found = gap(records, "slime", "50hz", rate, 50.0)
    assert found.difference == pytest.approx(amount / own["duration_s"].sum() - 50.0)
    assert math.isnan(found.difference_low)
    assert found.n == 40


@pytest.mark.parametrize(
    ("codec", "point", "metric"), [("tfc", "fine_8q", "stoi"), ("slime", "50hz", "mushra"), ("reference", "original", "frame_rate")]
)
def test_what_was_not_measured_keeps_its_place_without_a_number(records, codec, point, metric):
    found = gap(records, codec, point, metric, 91.6)
    assert found.n == 0
    assert math.isnan(found.mean)
    assert math.isnan(found.difference)


def test_a_metric_that_failed_throughout_was_not_measured(records):
    found = gap(records.assign(pesq_wb=math.nan), "slime", "50hz", "pesq_wb", 2.0)
    assert (found.n, math.isnan(found.difference)) == (0, True)


def test_only_numbers_of_our_points_are_read_and_names_may_hold_an_at_sign(tmp_path):
    path = tmp_path / "suite.published.csv"
    path.write_text(HEAD + 's,A,a@b@40hz,stoi,0.9,,"Table 1, left",mode not stated\ns,B,,stoi,0.8,,Table 1,\n', encoding="utf-8")
    assert read_published(path) == (Published("a@b", "40hz", "stoi", 0.9, "", "Table 1, left", "mode not stated"),)
    assert read_published(tmp_path / "none.published.csv") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "s,A,a@40hz,stoi,0.9,,T,\ns,A,a@40hz,stoi,~0.9,,T,\n", "suite.published.csv:3: value: '~0.9' is no number"),
        (HEAD + "s,A,a@40hz,stoi\n", "suite.published.csv:2: value: '' is no number"),
        (HEAD + "s,A,a@40hz,bitrate,1.5,kbps,T,\n", "suite.published.csv:2: unit: 'kbps' of bitrate, which is published in bit/s"),
        (HEAD + "s,A,a,stoi,0.9,,T,\n", "suite.published.csv:2: entry 'a', metric 'stoi': there must be CODEC@POINT"),
        ("entry,metric,value\na@40hz,stoi,0.9\n", "suite.published.csv:1: no column unit, source, doubt"),
    ],
    ids=["a number read off a plot", "a short line", "another unit", "no point", "columns"],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path, text, told):
    path = tmp_path / "suite.published.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        read_published(path)


def test_a_suite_carries_what_stands_beside_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\ndatasets: bundled\ncodecs: {codec: opus, points: [6kbps]}\nmetrics: [stoi]\n")
    (tmp_path / "mine.published.csv").write_text(HEAD + "mine,Opus,opus@6kbps,stoi,0.91,,RFC,\n")
    assert load_suite(tmp_path / "mine.yaml").published == (Published("opus", "6kbps", "stoi", 0.91, "", "RFC", ""),)


def test_run_json_without_papers_has_none():
    assert published_of(run_info()) == ()
