"""What comes out of finished runs, summed up once: tables, verdict, gaps to papers; and the comparison with one point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.comparison import compare, find_point
from bench.analysis.equal_bits import Verdict
from bench.analysis.listeners import Correlation
from bench.analysis.papers import Gap, against_papers
from bench.analysis.summary import Table, summary
from bench.errors import UserError
from bench.published import Published
from bench.report import equal_bits, listeners, papers
from bench.report.comparison import Comparison
from bench.report.merge import Merged, merge
from bench.report.table import render_csv, render_latex, render_markdown

PARTS = ("dataset", "language")  # columns by which the data fall into parts with tables of their own


@dataclass(frozen=True)
class Results:
    """Runs, read and summed up: what terminal, files and page share.

    table      of everything
    parts      of PARTS, those with several values: a group of rows for each
    gaps       measured against published
    heard_by   what `bench listeners` found of the runs
    """

    merged: Merged
    table: Table
    parts: Mapping[str, Table]
    verdict: Verdict
    gaps: Sequence[Gap]
    heard_by: Sequence[Correlation]


def results_of(run_dirs: Sequence[Path]) -> Results:
    """The results of one run, or of several merged. UserError says what can not be reported, and why."""
    merged = merge(run_dirs)
    table = table_of(merged)
    parts = {by: table_of(merged, (by,)) for by in PARTS if merged.records[by].nunique() > 1}
    heard_by = [each for folder in run_dirs for each in listeners.read(folder)]
    return Results(merged, table, parts, equal_bits.verdict_of(merged), _against_papers(merged, table), heard_by)


def table_of(merged: Merged, by: tuple[str, ...] = ()) -> Table:
    return summary(merged.records, merged.metrics, by=by, nominal_frame_rates=merged.points, seed=merged.seed)


def files_of(results: Results) -> dict[str, str]:
    """Name -> text of the files with the numbers, the same in a run's folder and in its report's."""
    metrics = results.table.metrics
    sections = [
        equal_bits.render_markdown(results.verdict, metrics),
        papers.render_markdown(results.gaps, metrics),
        listeners.render_markdown(results.heard_by),
    ]
    files = {"table.md": "".join([render_markdown(results.table), *sections]), equal_bits.CSV: equal_bits.render_csv(results.verdict)}
    files |= {"table.csv": render_csv(results.table), "table.tex": render_latex(results.table)}
    for by, part in results.parts.items():
        files |= {f"table_by_{by}.{suffix}": render(part) for suffix, render in _RENDER.items()}
    return files | ({"against_papers.csv": papers.render_csv(results.gaps)} if results.gaps else {})


_RENDER = {"md": render_markdown, "csv": render_csv, "tex": render_latex}


def _against_papers(merged: Merged, table: Table) -> list[Gap]:
    """Each run against its own papers, whose numbers are of its data; what one run lacks is told only where no other has it."""
    gaps: dict[Published, list[Gap]] = {}
    for records, published in zip(merged.parts, merged.published, strict=True):
        if published:
            own = table if len(merged.parts) == 1 else summary(records, merged.metrics, seed=merged.seed)
            for gap in against_papers(own, published):
                gaps.setdefault(gap.published, []).append(gap)
    return [gap for found in gaps.values() for gap in ([each for each in found if each.n] or found[:1])]


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
