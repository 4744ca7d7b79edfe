"""Published beside measured, as it is printed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench import commands
from bench.analysis.papers import Gap
from bench.published import Published
from bench.report import papers
from bench.report.build import build
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys
from tests.runs import CODECS, METRICS, run_info, synthetic_records, write_run

NAN = float("nan")
GAPS = [
    Gap(Published("slime", "50hz", "wer_pocketsphinx", 3.8, "%", "Table 1", ""), 4.314, 3.87, 4.75, 500),
    Gap(Published("slime", "50hz", "pesq_wb", 2.0, "", "Table 1", "wide band | assumed"), 1.94, NAN, NAN, 3),
    Gap(Published("slime", "50hz", "nominal_bitrate", 646.1, "bit/s", "Table 1", ""), 650.0, n=500),
    Gap(Published("slime", "50hz", "frame_rate", 43.125, "Hz", "Table 1", ""), 43.125, n=500),
    Gap(Published("gone", "8q", "mushra", 91.6, "", "Table 1", "")),
]


def test_lines_show_the_difference_with_its_interval_in_the_unit_of_the_reports():
    found = [(line.metric, line.paper, line.measured, line.difference, line.n) for line in papers.lines(GAPS, METRICS)]
    assert found == [
        ("wer_pocketsphinx ↓ %", "3.8", "4.31 (3.87 to 4.75)", "+0.514 (+0.070 to +0.950)", "500"),
        ("pesq_wb ↑ MOS", "2?", "1.940", "-0.0600", "3"),
        ("nominal kbps", "0.6461", "0.650", "+0.004", "500"),
        ("Hz", "43.125", "43.12", "0.00", "500"),
        ("mushra", "91.6", "not measured", "–", "0"),
    ]


def test_markdown_is_a_section_of_its_own_with_source_and_doubt():
    text = papers.render_markdown(GAPS, METRICS)
    assert text.startswith("\n## Against the papers\n\n| codec | point | metric | paper | measured | difference | n | source | doubt |\n")
    assert "| 1.940 | -0.0600 | 3 | Table 1 | wide band \\| assumed |" in text
    assert papers.render_markdown([], METRICS) == ""


def test_csv_holds_every_number_unrounded_and_nothing_where_there_is_none():
    rows = list(csv.DictReader(io.StringIO(papers.render_csv(GAPS))))
    assert float(rows[0]["difference"]) == 4.314 - 3.8
    assert float(rows[0]["difference_high"]) == 4.75 - 3.8
    assert (rows[1]["difference_low"], rows[1]["doubt"]) == ("", "wide band | assumed")
    assert (float(rows[2]["published"]), rows[2]["unit"]) == (646.1, "bit/s")
    assert (rows[4]["measured"], rows[4]["difference"], rows[4]["n"]) == ("", "", "0")


def test_terminal_has_the_numbers():
    console = Console(width=140, file=io.StringIO(), color_system=None)
    console.print(papers.render_terminal(GAPS, METRICS, 140))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "+0.514 (+0.070 to +0.950)" in text
    assert "not measured" in text


def test_each_run_is_held_against_its_own_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two sets of data under one label: the mean over both is of neither paper. What one run lacks, another may have."""
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)
    only = {name: CODECS[name] for name in ("reference", "slime")}
    paper = {"codec": "slime", "point": "50hz", "metric": "stoi", "value": 0.9, "unit": "", "source": "Table 1", "doubt": ""}
    gone = paper | {"codec": "opus", "point": "6kbps", "source": "Table 3"}
    runs, means = [], []
    for number, source in enumerate(("Table 1", "Table 2")):
        records = synthetic_records(codecs=only, seed=number).assign(dataset=f"set{number}")
        records["stoi"] -= 0.1 * number
        info = run_info(only)
        info["suite"]["published"] = [paper | {"source": source}, gone]
        info["datasets"][0]["name"] = f"set{number}"
        runs.append(write_run(tmp_path / f"run{number}", records, info))
        means.append(records.loc[records["point"] == "50hz", "stoi"].mean())
    build(runs, tmp_path / "report")
    rows = list(csv.DictReader((tmp_path / "report/against_papers.csv").open(encoding="utf-8")))
    assert [row["source"] for row in rows] == ["Table 1", "Table 3", "Table 2"]
    assert float(rows[0]["difference"]) == pytest.approx(means[0] - 0.9)
    assert float(rows[2]["difference"]) == pytest.approx(means[1] - 0.9)
    assert [row["n"] for row in rows] == ["24", "0", "24"]

    opus = {name: CODECS[name] for name in ("reference", "opus")}
    info = run_info(opus)
    info["suite"]["published"] = [gone]
    info["datasets"][0]["name"] = "set0"
    build([*runs, write_run(tmp_path / "run2", synthetic_records(codecs=opus).assign(dataset="set0"), info)], tmp_path / "report")
    rows = list(csv.DictReader((tmp_path / "report/against_papers.csv").open(encoding="utf-8")))
    assert [(row["source"], row["n"]) for row in rows] == [("Table 1", "24"), ("Table 3", "24"), ("Table 2", "24")]


def test_a_run_says_how_far_it_is_from_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)
    toys.run_in_this_process(monkeypatch)
    text = "name: mine\ndatasets: [{name: bundled, limit: 2}]\ncodecs: [{codec: opus, points: [6kbps]}]\nmetrics: [stoi]\n"
    Path("mine.yaml").write_text(text)
    Path("mine.published.csv").write_text("entry,metric,value,unit,source,doubt\nopus@6kbps,stoi,0.95,,RFC,\nopus@8kbps,stoi,0.96,,RFC,\n")
    out = Path("results/mine")
    assert commands.run_suite(load_suite(Path("mine.yaml")), Options(out)) == 0
    frame = pd.read_parquet(out / "records.parquet")
    difference = frame.loc[frame["point"] == "6kbps", "stoi"].mean() - 0.95
    printed = capsys.readouterr().out
    assert f"{difference:+.3f}" in printed[printed.index("Against the papers") :]
    assert "not measured" in printed
    for folder in (out, Path("reports/mine")):
        rows = list(csv.DictReader((folder / "against_papers.csv").open(encoding="utf-8")))
        assert [float(rows[0]["difference"]), rows[0]["n"], rows[1]["n"]] == [pytest.approx(difference), "2", "0"]
        assert f"{difference:+.3f}" in (folder / "table.md").read_text(encoding="utf-8")
