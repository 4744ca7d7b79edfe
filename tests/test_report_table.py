"""Printed tables: what stands in them, what is escaped, and that LaTeX compiles."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.analysis.summary import Table, summary
from bench.metrics.latency import METRICS as OF_LATENCY
from bench.report.table import (
    LATEX_ROWS,
    csv_cell,
    difference_decimals,
    escape_markdown,
    render_csv,
    render_latex,
    render_markdown,
    render_terminal,
    signed,
    spread_text,
    usual_decimals,
)
from bench.run.store import metrics_of
from tests.runs import CODECS, METRICS, synthetic_records

NOMINAL = {(codec, point): rate for codec, (_, points) in CODECS.items() for point, (rate, _) in points.items()}
NASTY = "a|b_c&d%e<script>alert(1)</script>#$~^{}\\"


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return synthetic_records(num_utterances=40, num_speakers=12)


@pytest.fixture(scope="module")
def table(records: pd.DataFrame) -> Table:
    return summary(records, METRICS, nominal_frame_rates=NOMINAL)


@pytest.fixture(scope="module")
def nasty(records: pd.DataFrame) -> Table:
    return summary(records.replace({"codec": {"opus": NASTY}, "point": {"6kbps": "[bold]6[/]"}}), METRICS)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def printed(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render_terminal(table, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_markdown_shows_mean_half_width_rates_and_the_best_in_bold(table: Table) -> None:
    lines = render_markdown(table).splitlines()
    heads = cells(lines[0])
    assert heads[:6] == ["codec", "point", "n", "Hz", "kbps", "nominal kbps"]
    assert "pesq\\_wb ↑ MOS" in heads
    assert "mel\\_dac\\_train ↓" in heads
    assert "delay\\_ms ms" in heads  # a diagnostic has no direction
    rows = {tuple(cells(line)[:2]): cells(line) for line in lines[2 : 2 + len(table.rows)]}
    row = next(row for row in table.rows if (row.codec, row.point) == ("slime", "50hz"))
    cell = row.cells["pesq_wb"]
    shown = rows["slime", "50hz"]
    assert shown[heads.index("pesq\\_wb ↑ MOS")] == f"{cell.mean:.3f} " + escape_markdown(spread_text(cell.mean, cell.low, cell.high, 3))
    assert shown[3] == f"50 / {row.rates.frame_rate:.3g}"
    assert shown[4] == f"{row.rates.bitrate / 1000:.3g}"
    assert rows["opus", "12kbps"][heads.index("stoi ↑")].startswith("**")
    assert not any(cell.startswith("**") for cell in rows["reference", "original"])


def test_n_stands_in_the_head_where_all_share_it_and_in_the_cell_where_one_differs(table: Table) -> None:
    text = render_markdown(table)
    assert "wer\\_pocketsphinx ↓ % (n=20)" in text
    failing = next(line for line in text.splitlines() if line.startswith("| fixed\\_40 | 1q"))
    assert "(n=35, 5 failed)" in failing
    assert "n=20" not in failing


def test_clusters_are_told_for_each_metric(records: pd.DataFrame) -> None:
    table = summary(records, METRICS)
    speakers, english = table.rows[0].cells["stoi"].clusters, table.rows[0].cells["wer_pocketsphinx"].clusters
    assert english < speakers
    assert f"resampling {speakers} speakers (wer_pocketsphinx: {english} speakers)" in render_markdown(table)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((0.9, 1.1), "±0.10"), ((0.9, 1.119), "±0.11"), ((0.9, 1.121), "[0.90, 1.12]"), ((0.7, 1.1), "[0.70, 1.10]"), ((math.nan, 1.0), "")],
)
def test_an_uneven_interval_is_shown_by_its_bounds(bounds: tuple[float, float], text: str) -> None:
    assert spread_text(1.0, *bounds, 2) == text


def test_differences_have_a_decimal_more_than_values() -> None:
    assert difference_decimals([0.01]) == usual_decimals([0.01]) + 1
    assert spread_text(0.5, -0.1, 0.7, 1, signed) == "[-0.1, +0.7]"


def test_an_interval_without_bounds_sets_no_decimals() -> None:
    assert difference_decimals([math.inf, 0.02]) == difference_decimals([0.02])
    assert difference_decimals([math.inf]) == difference_decimals([])


def test_names_are_escaped_in_markdown(nasty: Table) -> None:
    lines = render_markdown(nasty).splitlines()
    assert "<script" not in "\n".join(lines)
    assert len({line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}) == 1


def test_csv_holds_every_number_unrounded(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert len(rows) == len(table.rows)
    for row, read in zip(table.rows, rows, strict=True):
        assert (read["codec"], read["point"], int(read["stoi:n"])) == (row.codec, row.point, row.cells["stoi"].n)
        assert float(read["stoi"]) == row.cells["stoi"].mean
        assert float(read["stoi:low"]) == row.cells["stoi"].low
        assert read["bitrate"] == ("" if np.isnan(row.rates.bitrate) else str(row.rates.bitrate))
    assert rows[1]["pesq_wb:failed"] == "5"


def test_csv_keeps_names_as_they_are(nasty: Table) -> None:
    assert NASTY in {row["codec"] for row in csv.DictReader(io.StringIO(render_csv(nasty)))}


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_terminal_fits_and_repeats_the_names(table: Table, width: int) -> None:
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    headed = [line for line in lines if "codec" in line and "point" in line]
    assert len(headed) == (1 if width == 300 else len(headed))
    assert all(any(name in line for line in headed) for name in METRICS)


def test_markup_in_names_is_text_on_the_terminal(nasty: Table) -> None:
    assert any("[bold]6[/]" in line for line in printed(nasty, 300))


def test_grouped_tables_name_the_group_in_each_row(records: pd.DataFrame) -> None:
    by_language = summary(records, METRICS, by=("language",), nominal_frame_rates=NOMINAL)
    lines = render_markdown(by_language).splitlines()
    assert cells(lines[0])[0] == "language"
    assert [cells(line)[0] for line in lines[2 : 2 + 3 * len(NOMINAL)]] == [tag for tag in ("de", "en", "he") for _ in NOMINAL]
    parts = render_latex(by_language).split("\\bottomrule")[:-1]
    assert [part.count("\\midrule") for part in parts] == [3] * len(parts)


def test_an_empty_column_and_a_missing_interval_are_dashes(table: Table) -> None:
    row = table.rows[1]
    nan = float("nan")
    empty = replace(row.cells["stoi"], mean=nan, low=nan, high=nan, n=0, failed=7)
    few = replace(row.cells["pesq_wb"], low=nan, high=nan)
    lines = render_markdown(Table((replace(row, cells={**row.cells, "stoi": empty, "pesq_wb": few}),), METRICS)).splitlines()
    heads, shown = cells(lines[0]), cells(lines[2])
    assert next(cell for name, cell in zip(heads, shown, strict=True) if name.startswith("stoi")) == "– (7 failed)"
    assert "±" not in next(cell for name, cell in zip(heads, shown, strict=True) if name.startswith("pesq"))


def test_latex_is_split_into_parts_that_fit_a_page_and_hold_everything_once(table: Table) -> None:
    long = replace(table, rows=table.rows * 6)
    text = render_latex(long)
    parts = [part.split("\\begin{tabular}")[1] for part in text.split("\\end{tabular}")[:-1]]
    bodies = [[line for line in part.splitlines() if line.endswith("\\\\")] for part in parts]
    assert max(map(len, bodies)) == LATEX_ROWS + 1
    assert sum(body[0].startswith("codec & point & ") for body in bodies) == len(bodies)
    heads = [head for body in bodies for head in body[0].removesuffix(" \\\\").split(" & ")[2:]]
    blocks = len(bodies) // -(-len(long.rows) // LATEX_ROWS)
    assert len(heads[: len(heads) * blocks // len(bodies)]) == len(set(heads)) == 4 + len(METRICS)
    assert sum(len(body) - 1 for body in bodies) == blocks * len(long.rows)
    assert text.startswith(f"% needs \\usepackage{{booktabs}}; {len(bodies)} parts")
    assert "parts" not in render_latex(replace(table, metrics={})).splitlines()[0]


@pytest.mark.parametrize("which", ["table", "nasty"])
def test_latex_compiles_and_fits_the_page(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    text = render_latex(request.getfixturevalue(which))
    assert "\\textbf{" in text
    document = (
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\parindent0pt\n\\begin{document}\n"
        + text
        + "\\end{document}\n"
    )
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(["pdflatex", "-halt-on-error", "table.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]
    if which == "table":  # names of any length may be too long for any page
        assert "Overfull" not in done.stdout


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1"])
def test_text_that_begins_like_a_formula_is_quoted_in_csv(table: Table, name: str) -> None:
    assert csv_cell(name) == f"'{name}"
    formula = replace(table, rows=tuple(replace(row, codec=name) for row in table.rows))
    lines = list(csv.DictReader(io.StringIO(render_csv(formula))))
    assert {line["codec"] for line in lines} == {f"'{name}"}


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+2", 3, "6kbps", "a=b", ""])
def test_a_number_stays_a_number_in_csv(value: object) -> None:
    assert csv_cell(value) == value


def test_a_label_in_brackets_or_a_star_does_not_begin_an_argument_in_latex(table: Table) -> None:
    latex = render_latex(replace(table, rows=tuple(replace(row, codec="[2em] *") for row in table.rows)))
    assert "{[}2em] {*}" in latex
    assert not any(line.startswith(("[", "*")) for line in latex.splitlines())


def test_a_metric_with_a_caveat_stands_last_and_the_report_says_why(records: pd.DataFrame) -> None:
    doubtful = {name: replace(info, caveat="listeners disagree" if name == "stoi" else "") for name, info in METRICS.items()}
    about = {"metrics": {name: {**asdict(info), "key": "k"} for name, info in doubtful.items()}}
    order = list(metrics_of(about))
    assert order == [*(name for name in METRICS if name != "stoi"), "stoi"]
    printed = render_markdown(summary(records, metrics_of(about)))
    assert "stoi stands last: listeners disagree." in printed
    assert printed.splitlines()[0].rindex("stoi") > printed.splitlines()[0].rindex("wer")


@pytest.fixture
def recorded(records: pd.DataFrame) -> Table:
    """Opus as recordings whose rates are stated, one of them 12.5 ms short."""
    opus = records["codec"] == "opus"
    changed = records.assign(
        bits_total=records["bits_total"].where(~opus, 0), length_error=np.where(opus & (records["utterance"] == "utt/00003"), -200, 0)
    )
    return summary(changed, METRICS, nominal_frame_rates=NOMINAL)


def test_rates_that_are_stated_and_not_counted_are_marked_wherever_they_stand(recorded: Table) -> None:
    texts = [render_markdown(recorded), render_latex(recorded), "\n".join(printed(recorded, 200))]
    for text in texts:
        assert "stated: as whoever made the recordings says; not counted." in text
        rates = [line for line in text.splitlines() if "(stated)" in line]
        assert len(rates) == 2  # the two points of opus, whose three rates stand in one line
        assert all("opus" in line and line.count("stated") == 3 for line in rates)
    rows = list(csv.DictReader(io.StringIO(render_csv(recorded))))
    assert {row["codec"] for row in rows if row["rates_are_stated"] == "True"} == {"opus"}


def test_recordings_of_another_length_are_told(recorded: Table) -> None:
    assert "furthest off: opus@6kbps -12.5 ms, opus@12kbps -12.5 ms." in render_markdown(recorded).replace("\\", "")
    rows = {row["point"]: row["length_error_s"] for row in csv.DictReader(io.StringIO(render_csv(recorded)))}
    assert float(rows["6kbps"]) == -0.0125
    assert float(rows["original"]) == 0


def test_latencies_of_codecs_that_hear_the_whole_utterance_say_so(records: pd.DataFrame) -> None:
    slime, sometimes = records["codec"] == "slime", records["utterance"] == "utt/00003"
    whole = np.where(slime | (sometimes & (records["codec"] == "opus")), 1.0, 0.0)
    table = summary(
        records.assign(latency_ms=30.0, **{"latency_ms:whole": whole}), {**METRICS, "latency_ms": OF_LATENCY["latency_ms"].info}
    )
    lines = render_markdown(table).splitlines()
    assert all(("(not causal)" in line) == ("| slime |" in line) for line in lines)
    assert all((f"(not causal in 1 of {table.rows[0].utterances})" in line) == ("| opus |" in line) for line in lines)
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert {row["codec"] for row in rows if row["heard_whole"] == row["utterances"]} == {"slime"}


def test_why_a_metric_does_not_apply_is_told(table: Table, records: pd.DataFrame) -> None:
    assert "wer_pocketsphinx does not apply to some utterances: English only." in render_markdown(table)
    everywhere = records.assign(not_applicable="{}")
    assert "does not apply" not in render_markdown(summary(everywhere, METRICS))
