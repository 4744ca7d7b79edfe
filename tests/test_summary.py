"""The table of means: values, counts, marks and clusters, held against plain pandas."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench.analysis.grid import MAX_CLUSTERS, grid
from bench.analysis.summary import Row, Table, summary
from bench.record import CODEC
from bench.report.table import render_csv, render_markdown
from tests.runs import CODECS, METRICS, synthetic_records

NOMINAL = {(codec, point): rate for codec, (_, points) in CODECS.items() for point, (rate, _) in points.items()}


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return synthetic_records(num_utterances=60, num_speakers=15)


@pytest.fixture(scope="module")
def table(records: pd.DataFrame) -> Table:
    return summary(records, METRICS, nominal_frame_rates=NOMINAL)


def row_of(table: Table, codec: str, point: str, **group: str) -> Row:
    return next(row for row in table.rows if (row.codec, row.point, dict(row.group)) == (codec, point, group))


def rows_at(records: pd.DataFrame, codec: str, point: str) -> pd.DataFrame:
    return records[(records["codec"] == codec) & (records["point"] == point)]


def test_statistics_of_a_point_are_those_of_its_utterances(records: pd.DataFrame, table: Table) -> None:
    scores = rows_at(records, "slime", "100hz")["pesq_wb"]
    cell = row_of(table, "slime", "100hz").cells["pesq_wb"]
    assert cell.mean == pytest.approx(scores.mean())
    assert (cell.median, cell.p5, cell.p95) == pytest.approx(tuple(np.percentile(scores, [50, 5, 95])))
    assert cell.low < cell.mean < cell.high
    assert cell.n == 60


def test_wer_is_the_ratio_of_corpus_totals(records: pd.DataFrame, table: Table) -> None:
    rows = rows_at(records, "fixed_40", "1q")
    cell = row_of(table, "fixed_40", "1q").cells["wer_pocketsphinx"]
    ratio = 100 * rows["wer_pocketsphinx:errors"].sum() / rows["wer_pocketsphinx:words"].sum()
    assert cell.mean == pytest.approx(ratio)
    assert cell.mean != pytest.approx(rows["wer_pocketsphinx"].mean(), abs=0.1)
    assert cell.low < ratio < cell.high


def test_failures_and_what_does_not_apply_are_counted_apart(table: Table) -> None:
    cells = row_of(table, "fixed_40", "1q").cells
    assert (cells["pesq_wb"].n, cells["pesq_wb"].failed, cells["pesq_wb"].not_applicable) == (52, 8, 0)
    assert (cells["wer_pocketsphinx"].n, cells["wer_pocketsphinx"].failed, cells["wer_pocketsphinx"].not_applicable) == (30, 0, 30)


def test_failed_encoder_is_a_failure_of_every_metric_and_no_rate(records: pd.DataFrame) -> None:
    broken = rows_at(records, "opus", "6kbps").copy()
    third = np.arange(len(broken)) % 3 == 0
    broken.loc[third, ["bits_tokens", "bits_total", "token_frames", "frame_rate", "token_rate", "bitrate", "nominal_bitrate"]] = 0
    broken.loc[third, list(METRICS)] = np.nan
    broken.loc[third, "failures"] = json.dumps({CODEC: "RuntimeError: third"})
    row = summary(broken, METRICS).rows[0]
    assert (row.cells["stoi"].n, row.cells["stoi"].failed, row.utterances) == (40, 20, 60)
    assert row.rates.bitrate == pytest.approx(row_of(summary(records, METRICS), "opus", "6kbps").rates.bitrate, rel=1e-3)


def test_rates_are_totals_over_seconds(records: pd.DataFrame, table: Table) -> None:
    rows = rows_at(records, "slime", "50hz")
    rates = row_of(table, "slime", "50hz").rates
    seconds = rows["duration_s"].sum()
    assert rates.bitrate == pytest.approx((rows["bits_tokens"] + rows["bits_side"]).sum() / seconds)
    assert rates.frame_rate == pytest.approx(rows["token_frames"].sum() / seconds)
    assert rates.bitrate_tokens + rates.bitrate_side == pytest.approx(rates.bitrate)
    assert rates.bitrate_header == pytest.approx(64 * len(rows) / seconds)
    assert rates.nominal_frame_rate == 50.0
    assert rates.encode_rtf == pytest.approx(0.1)
    assert np.isnan(row_of(table, "reference", "original").rates.frame_rate)


def test_rows_follow_the_order_of_the_suite(records: pd.DataFrame, table: Table) -> None:
    assert [(row.codec, row.point) for row in table.rows] == list(NOMINAL)
    shuffled = summary(records.sample(frac=1, random_state=1), METRICS, nominal_frame_rates=NOMINAL)
    assert [(row.codec, row.point) for row in shuffled.rows] == list(NOMINAL)
    assert [row.cells["stoi"].mean for row in shuffled.rows] == pytest.approx([row.cells["stoi"].mean for row in table.rows])


def test_best_is_marked_in_its_direction_and_never_the_ceiling(table: Table) -> None:
    best = {metric: [row.point for row in table.rows if row.cells[metric].mark == "best"] for metric in METRICS}
    assert best == {
        "mel_dac_train": ["12kbps"],
        "pesq_wb": ["12kbps"],
        "stoi": ["12kbps"],
        "wer_pocketsphinx": ["12kbps"],
        "delay_ms": [],
    }


def test_only_what_is_not_significantly_worse_is_tied(records: pd.DataFrame) -> None:
    twin = rows_at(records, "opus", "12kbps").assign(point="twin")
    rng = np.random.default_rng(0)
    twin["pesq_wb"] = twin["pesq_wb"] - 0.0001 + rng.normal(0, 0.01, len(twin))
    twin["stoi"] = twin["stoi"] - 0.01
    table = summary(pd.concat([records, twin]), METRICS)
    assert row_of(table, "opus", "twin").cells["pesq_wb"].mark in ("best", "tied")
    assert row_of(table, "opus", "twin").cells["stoi"].mark == ""
    assert row_of(table, "opus", "6kbps").cells["pesq_wb"].mark == ""


def test_groups_hold_what_their_records_alone_would_give(records: pd.DataFrame) -> None:
    by_language = summary(records, METRICS, by=("language",), nominal_frame_rates=NOMINAL)
    german = summary(records[records["language"] == "de"], METRICS, nominal_frame_rates=NOMINAL)
    assert [dict(row.group) for row in by_language.rows[:: len(NOMINAL)]] == [{"language": tag} for tag in ("de", "en", "he")]
    assert row_of(by_language, "slime", "50hz", language="de").cells["stoi"] == row_of(german, "slime", "50hz").cells["stoi"]


@pytest.mark.parametrize("num_speakers", [15, 6, 4, 3, 2, 1])
def test_speakers_are_resampled_however_few_and_below_three_there_is_no_interval(num_speakers: int) -> None:
    records = synthetic_records(num_utterances=60, num_speakers=num_speakers)
    table = summary(records, METRICS)
    cell = table.rows[1].cells["stoi"]
    assert (cell.clustered_by, cell.clusters) == ("speaker", num_speakers)
    assert np.isfinite([cell.low, cell.high]).all() == (num_speakers >= 3)
    assert ("No interval in some cells" in render_markdown(table)) == (num_speakers < 3)


def test_one_speaker_of_two_hundred_utterances_has_no_interval_and_unknown_speakers_have_one() -> None:
    records = synthetic_records(num_utterances=200, num_speakers=1)
    assert np.isnan(row_of(summary(records, METRICS), "slime", "50hz").cells["stoi"].low)
    cell = row_of(summary(records.assign(speaker=""), METRICS), "slime", "50hz").cells["stoi"]
    assert (cell.clustered_by, cell.clusters) == ("utterance", 200)
    assert cell.low < cell.mean < cell.high
    some = records.assign(speaker=records["speaker"].where(records["utterance"] < "utt/00100", ""))
    assert row_of(summary(some, METRICS), "slime", "50hz").cells["stoi"].clustered_by == "speaker or lone utterance"


@pytest.mark.parametrize(("num_speakers", "mark"), [(5, "untested"), (12, "tied")])
def test_about_equal_is_said_only_where_a_test_could_have_found_a_difference(num_speakers: int, mark: str) -> None:
    records = synthetic_records(num_utterances=60, num_speakers=num_speakers)
    records = records[records["codec"].isin(["fixed_40", "reference"])]
    twin = rows_at(records, "fixed_40", "8q").assign(point="twin")  # the same scores: no test can tell them apart
    table = summary(pd.concat([records, twin], ignore_index=True), METRICS)
    marks = {row.cells["stoi"].mark for row in table.rows if row.point in ("8q", "twin")}
    assert marks == {"best", mark}
    assert ("≈" in render_markdown(table).split("\n\n")[0]) == (mark == "tied")
    assert ("No ≈ in some cells" in render_markdown(table)) == (mark == "untested")


def test_a_hallucination_is_counted_and_its_rarity_is_no_part_of_the_interval(records: pd.DataFrame) -> None:
    records = records.copy()
    row = rows_at(records, "opus", "6kbps").index[0]
    before = row_of(summary(records, METRICS), "opus", "6kbps").cells["wer_pocketsphinx"]
    words = records.at[row, "wer_pocketsphinx:words"]
    records.loc[row, ["wer_pocketsphinx", "wer_pocketsphinx:errors"]] = [500.0, 5 * words]
    table = summary(records, METRICS)
    after = row_of(table, "opus", "6kbps").cells["wer_pocketsphinx"]
    assert (before.hallucinated, after.hallucinated) == (0, 1)
    own = rows_at(records, "opus", "6kbps")
    assert after.mean == pytest.approx(100 * own["wer_pocketsphinx:errors"].sum() / own["wer_pocketsphinx:words"].sum())
    assert after.high - after.low == pytest.approx(before.high - before.low, rel=0.2)
    assert after.low < after.mean < after.high
    assert "1 above 300 %" in render_markdown(table)


def test_the_original_audio_is_shown_as_16_bit_pcm_at_its_rate(table: Table) -> None:
    rates = row_of(table, "reference", "original").rates
    assert (rates.bitrate, rates.nominal_bitrate) == (256_000.0, 256_000.0)


def test_rates_stand_as_totals_and_as_means_over_utterances(records: pd.DataFrame, table: Table) -> None:
    rows, rates = rows_at(records, "slime", "50hz"), row_of(table, "slime", "50hz").rates
    assert rates.utterance_mean_bitrate == pytest.approx(rows["bitrate"].mean())
    assert rates.bitrate == pytest.approx((rows["bits_tokens"] + rows["bits_side"]).sum() / rows["duration_s"].sum(), rel=1e-9)
    assert rates.utterance_mean_frame_rate == pytest.approx(rows["frame_rate"].mean())
    assert abs(rates.utterance_mean_bitrate / rates.bitrate - 1) > 1e-4
    assert "utterance_mean_bitrate" in render_csv(table).splitlines()[0]


def test_speed_is_that_of_the_utterances_that_were_really_encoded(records: pd.DataFrame) -> None:
    rows = rows_at(records, "slime", "50hz").copy()
    failed = rows.index[:20]
    rows.loc[failed, ["encode_s", "decode_s", "bits_total"]] = 0
    rows.loc[failed, "failures"] = json.dumps({CODEC: "ValueError: no"})
    rows.loc[rows.index[20], ["encode_s", "failures"]] = [99.0, json.dumps({CODEC: "decode gave NaN"})]
    rates = summary(rows, METRICS).rows[0].rates
    assert rates.encode_rtf == pytest.approx(0.1)
    assert rates.decode_rtf == pytest.approx(0.05)
    recordings = rows_at(records, "slime", "50hz").assign(encode_s=0.0, decode_s=0.0, bits_total=0)
    assert np.isnan(summary(recordings, METRICS).rows[0].rates.encode_rtf)


def test_correlated_speakers_widen_the_interval(records: pd.DataFrame) -> None:
    def width(frame: pd.DataFrame) -> float:
        cell = row_of(summary(frame, METRICS), "fixed_40", "4q").cells["pesq_wb"]
        return cell.high - cell.low

    offset = records["speaker"].map({name: i % 2 for i, name in enumerate(sorted(records["speaker"].unique()))})
    uneven = records.assign(pesq_wb=records["pesq_wb"] + offset)
    assert width(uneven) > 1.3 * width(uneven.assign(speaker=""))


def test_unknown_speakers_stand_alone_and_many_clusters_are_pooled() -> None:
    records = synthetic_records(num_utterances=60, num_speakers=15)
    records.loc[records["utterance"] < "utt/00030", "speaker"] = ""
    known = records.loc[records["speaker"] != "", "speaker"].nunique()
    laid_out = grid(records, METRICS)
    assert laid_out.num_clusters == 30 + known
    many = synthetic_records(num_utterances=1300, num_speakers=5, codecs={"fixed_40": CODECS["fixed_40"]})
    laid_out = grid(many.assign(speaker=""), METRICS)
    assert laid_out.num_clusters == MAX_CLUSTERS
    assert np.bincount(laid_out.cluster).max() == 3


def test_scores_that_are_absent_or_infinite_are_no_part_of_the_mean(records: pd.DataFrame) -> None:
    rows = rows_at(records, "opus", "6kbps").copy()
    rows.iloc[:10, rows.columns.get_indexer(["stoi"])] = np.inf
    cell = summary(rows.drop(columns=["pesq_wb"]), METRICS).rows[0].cells
    assert cell["stoi"].n == 50
    assert np.isfinite(cell["stoi"].mean)
    assert cell["pesq_wb"].n == 0
    assert np.isnan(cell["pesq_wb"].mean)


def test_an_utterance_twice_at_one_point_is_refused(records: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="twice"):
        summary(pd.concat([records, records.iloc[:1]]), METRICS)
