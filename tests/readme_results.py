"""The tables and the figure that README shows, from the committed baselines: `python -m tests.readme_results` writes all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from bench.analysis.comparison import resampled_curves
from bench.analysis.equal_bits import Finding, equal_bits
from bench.analysis.grid import grid
from bench.analysis.summary import Table, summary
from bench.files import write_atomically
from bench.record import leading, ranking
from bench.regress.baseline import read_baseline
from bench.report import plot
from bench.report.equal_bits import counterparts
from bench.report.table import difference_decimals, head, kbps, markdown_table, signed, spread_text
from bench.run.store import metrics_of
from tests import published_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BASELINE = ROOT / "results/baselines/low_rate.parquet"
FIGURE = ROOT / "reports/low_rate.svg"
RESULTS = ("<!-- results of results/baselines/low_rate.parquet -->", "<!-- end of results -->")
SYSTEMS = ("<!-- systems of results/baselines/published_samples.parquet -->", "<!-- end of systems -->")


def results(path: Path = BASELINE, panels: int = plot.LEADING_PANELS) -> str:
    """The verdict at equal bits by the first `panels` metrics of a baseline: rows of points with a fixed counterpart.

    The run itself prints that at equal tokens, too.
    """
    baseline = read_baseline(str(path))
    about = dict(baseline.about)
    metrics = leading({name: info for name, info in metrics_of(about).items() if name in baseline.records})
    margins = (about["suite"].get("regress") or {}).get("margins") or {}
    verdict = equal_bits(baseline.records, metrics, margins=margins, seed=about["seed"])
    rows: dict[tuple[str, str], dict[str, Finding]] = {}
    for finding in verdict.findings:
        if finding.against == "bitrate":
            rows.setdefault((finding.codec, finding.point), {})[finding.metric] = finding
    names = list(ranking(metrics))[:panels]
    places = {name: difference_decimals((row[name].high - row[name].low) / 2 for row in rows.values()) for name in names}
    lines = [["dynamic", "kbps", "fixed", *(head(metrics[name]) for name in names)], ["---", "---:", "---", *["---"] * len(names)]]
    for (codec, point), row in rows.items():
        first = row[names[0]]
        if not any(row[name].how for name in names):
            continue
        cells = [_cell(row[name], places[name]) for name in names]
        fixed = counterparts((row[name] for name in names), lambda label, _: label)
        lines.append([f"{codec}@{point}", kbps(first.rate), fixed, *cells])
    return markdown_table(lines)


def _cell(finding: Finding, places: int) -> str:
    interval = spread_text(finding.difference, finding.low, finding.high, places, signed)
    return f"{finding.word} {signed(finding.difference, places)} {interval}"


def sections() -> dict[tuple[str, str], str]:
    """The marks in README -> what stands between them."""
    return {RESULTS: results(), SYSTEMS: published_samples.table()}


def figure() -> tuple[Figure, str]:
    """The report's `fixed_and_dynamic` of the baseline, and what is drawn in it as JSON: of each point kbps, mean and interval."""
    baseline = read_baseline(str(BASELINE))
    about = dict(baseline.about)
    known = {"bits_total": baseline.records["bits_tokens"] + baseline.records["bits_side"], "nominal_bitrate": baseline.records["bitrate"]}
    left_out = {"bits_entropy": 0, "peak_memory_mb": 0.0, "length_error": 0, "sample_rate": 16000}  # by a baseline, and in no curve
    records = baseline.records.assign(**known, **left_out)
    infos = leading({name: info for name, info in metrics_of(about).items() if name in records})
    points = {(label, name): facts["frame_rate"] for label, codec in about["codecs"].items() for name, facts in codec["points"].items()}
    table = plot.fixed_and_dynamic(summary(records, infos, nominal_frame_rates=points, seed=about["seed"]))
    curves = resampled_curves(grid(records, infos, list(points), about["seed"]), about["seed"])
    metrics = dict(list(ranking(infos).items())[: plot.LEADING_PANELS])
    return plot.plot_metrics(table, curves, metrics, "bitrate"), json.dumps(_drawn(table, list(metrics)))


def _drawn(table: Table, metrics: list[str]) -> dict[str, Any]:
    def digits(*values: float) -> list[float]:
        return [float(f"{value:.4g}") for value in values]

    return {
        f"{row.codec}@{row.point}": {
            "kbps": digits(row.rates.bitrate / 1000),
            **{name: digits(row.cells[name].mean, row.cells[name].low, row.cells[name].high) for name in metrics},
        }
        for row in table.rows
    }


def write_figure() -> None:
    """FIGURE, with what it draws as its description: a picture of another version of matplotlib differs, what it draws does not."""
    picture, drawn = figure()
    with mpl.rc_context({**plot.RC, "svg.hashsalt": FIGURE.stem}):
        write_atomically(FIGURE, lambda path: picture.savefig(path, metadata={"Date": None, "Description": drawn}))


def told(marks: tuple[str, str], path: Path = README) -> str:
    """What README (or another file) says now, between the marks."""
    begin, end = marks
    return path.read_text(encoding="utf-8").partition(f"{begin}\n")[2].partition(end)[0]


def write_sections(path: Path, sections: Mapping[tuple[str, str], str]) -> None:
    """Replaces what stands between the marks of each section of the file."""
    for (begin, end), section in sections.items():
        before, _, rest = path.read_text(encoding="utf-8").partition(f"{begin}\n")
        if end not in rest:
            raise SystemExit(f"{path}: put '{begin}' and '{end}' where they are to stand")
        path.write_text(before + f"{begin}\n" + section + end + rest.partition(end)[2], encoding="utf-8")


if __name__ == "__main__":
    write_sections(README, sections())
    write_figure()
