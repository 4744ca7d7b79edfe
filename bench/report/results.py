"""What comes out of a finished run: its tables, verdict and page, and its comparison with one point."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.analysis.comparison import compare, find_point
from bench.analysis.papers import against_papers
from bench.errors import UserError
from bench.files import write_text
from bench.report import equal_bits, papers
from bench.report.build import table_of, write
from bench.report.comparison import Comparison
from bench.report.merge import merge
from bench.report.table import render_csv, render_latex, render_markdown, render_terminal
from bench.suite import Suite


def written(suite: Suite, run: Path, report: Path, console: Console) -> str:
    """Tables and report of a run, written; and what the terminal shows of them."""
    merged = merge([run])
    verdict = equal_bits.verdict_of(merged)
    overall, by_language = table_of(merged), table_of(merged, by=("language",))
    gaps = against_papers(overall, suite.published)
    tables = {
        "table.md": "".join(
            [
                render_markdown(overall),
                equal_bits.render_markdown(verdict, overall.metrics),
                papers.render_markdown(gaps, overall.metrics),
            ]
        ),
        "table.csv": render_csv(overall),
        "table.tex": render_latex(overall),
        "table_by_language.md": render_markdown(by_language),
        equal_bits.CSV: equal_bits.render_csv(verdict),
        **({"against_papers.csv": papers.render_csv(gaps)} if gaps else {}),
    }
    for name, text in tables.items():
        write_text(run / name, text)
    with console.status("writing the report"):
        page = write(merged, overall, verdict, report)
    with console.capture() as shown:
        console.print(render_terminal(overall, console.width))
        if gaps:
            console.print(papers.render_terminal(gaps, overall.metrics, console.width))
        console.print(f"\nreport: {page}\n", highlight=False, markup=False, soft_wrap=True)
        console.print(equal_bits.render_brief(verdict))
    return shown.get()


def comparison_of(folder: Path, baseline: str) -> Comparison:
    """The run in `folder` against `baseline` (CODEC@POINT); where that is "", the suite's compare.baseline, else the first point."""
    merged = merge([folder])
    present = set(zip(merged.records["codec"], merged.records["point"], strict=True))
    points = [point for point in merged.points if point in present]
    ranked = [point for point in points if merged.codecs[point[0]]["kind"] != "ceiling"]
    if not ranked:
        raise UserError(f"{folder}: holds no codec to compare")
    name = baseline or merged.baseline or "@".join(ranked[0])
    numbers = compare(merged.records, merged.metrics, find_point(name, points), order=points, seed=merged.seed)
    return Comparison(numbers, equal_bits.verdict_of(merged), merged.metrics)
