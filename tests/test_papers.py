"""The papers' own protocols load, and what was published beside them names rows and columns that a run of them has."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from bench.registry import metric_infos
from bench.suite import load_suite

PAPERS = Path(__file__).resolve().parent.parent / "suites" / "papers"
SUITES = sorted(path.stem for path in PAPERS.glob("*.yaml"))
COLUMNS = ["suite", "system", "entry", "metric", "value", "unit", "source", "doubt"]
OF_EVERY_RECORD = {"frame_rate", "nominal_bitrate"}
NOT_MEASURED_HERE = {"mushra", "mcd", "squim_mos"}


def published(name: str) -> list[dict[str, str]]:
    with (PAPERS / f"{name}.published.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        assert reader.fieldnames == COLUMNS
        return list(reader)


@pytest.mark.parametrize("name", SUITES)
def test_what_was_published_stands_beside_rows_and_columns_of_the_run(name):
    suite = load_suite(PAPERS / f"{name}.yaml")
    assert suite.name == name
    measured = {f"{entry.label}@{point.name}" for entry in suite.entries for point in entry.points}
    rows = published(name)
    assert rows
    for row in rows:
        assert row["suite"] == name
        assert row["system"]
        assert row["source"]
        assert row["entry"] in measured | {""}, row
        columns = suite.metric_names if row["entry"] else metric_infos()
        assert row["metric"] in OF_EVERY_RECORD | NOT_MEASURED_HERE | set(columns), row
        assert math.isfinite(float(row["value"]))
    assert any(row["entry"] for row in rows) or name == "dtm_codec"  # whose codecs are not to be had


@pytest.mark.parametrize("name", SUITES)
def test_one_number_for_one_cell(name):
    cells = [(row["system"], row["metric"], row["source"]) for row in published(name)]
    assert len(cells) == len(set(cells))


def test_known_slips_are_marked():
    doubts = {(row["suite"], row["system"], row["metric"]): row["doubt"] for name in SUITES for row in published(name)}
    assert "reverse order, then 2.110" in doubts["tfc_table1", "DAC 6 kbps", "wer_nemo"]
    assert "43.125" in doubts["tfc_vfr", "TFC, 10 % of 75 Hz", "frame_rate"]
    assert "narrow-band" in doubts["flexicodec_table5", "FlexiCodec@8.3Hz, RVQ1:8", "pesq_nb16"]
    assert "UniCATS testset B" in doubts["codecslime_main", "CodecSlime-FSQ18k", "wer_nemo"]


def test_published_rates_are_those_of_the_points():
    for name in SUITES:
        suite = load_suite(PAPERS / f"{name}.yaml")
        rates = {f"{entry.label}@{point.name}": point.frame_rate for entry in suite.entries for point in entry.points}
        for row in published(name):
            if row["metric"] == "frame_rate" and row["entry"] and "user measured" not in row["doubt"]:
                assert rates[row["entry"]] == pytest.approx(float(row["value"]), rel=0.01), row
