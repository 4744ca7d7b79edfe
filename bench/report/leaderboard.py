"""The page: its data from records, as aggregates and as one file a point, and the frame of index.html."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.comparison import AGAINST, Curves, at_equal_rate, curve_difference, paired_differences
from bench.analysis.equal_bits import Verdict
from bench.analysis.grid import Grid, Point, grid
from bench.analysis.papers import Gap
from bench.analysis.summary import Row, Table, summary
from bench.record import MetricInfo, detail_texts, failures_of, ranking
from bench.report import equal_bits, papers
from bench.report.merge import Merged
from bench.report.style import looks
from bench.report.table import decimals

FLIPS_IN_PARTS = 1999  # of the tests within one language or data set, which decide marks only: p down to 5e-4 survives Holm over 40 points
HISTOGRAM_BINS = 24
TEMPLATE = Path(__file__).parent / "leaderboard.html.j2"
SCRIPTS = tuple(
    f"{name}.js"
    for name in ("core", "verdict", "leaderboard", "papers", "listeners", "charts", "rates", "listen", "compare", "provenance", "main")
)
STYLE = "report.css"


def page_data(merged: Merged, table: Table, verdict: Verdict, laid_out: Grid, curves: Curves, gaps: Sequence[Gap]) -> dict[str, Any]:
    """All that the page holds before anything is clicked.

    Points and metrics are told by their numbers; `pairs` are (i, j), i < j, in the order of itertools.combinations, minuend first.
    """
    points = laid_out.points
    ranked = ranking(merged.metrics)
    kinds = {codec: str(facts["kind"]) for codec, facts in merged.codecs.items()}
    style = looks(kinds)
    scopes = _scopes(merged.records)
    tables = [table, *(summary(part, merged.metrics, nominal_frame_rates=merged.points, seed=merged.seed) for _, _, part in scopes[1:])]
    return {
        "title": " + ".join(dict.fromkeys(run["suite"]["name"] for run in merged.runs)),
        "description": merged.runs[0]["suite"].get("description", ""),
        "metrics": [_metric(info, table, merged.runs) for info in merged.metrics.values()],
        "ranking": [list(merged.metrics).index(name) for name in ranked],
        "codecs": [{"label": label, **asdict(style[label]), **_codec(facts)} for label, facts in merged.codecs.items()],
        "points": [
            {"codec": list(merged.codecs).index(codec), "name": point, **_settings(merged.codecs[codec]["points"][point])}
            for codec, point in points
        ],
        "baseline": next((number for number, (codec, point) in enumerate(points) if f"{codec}@{point}" == merged.baseline), None),
        "scopes": [{"kind": kind, "name": name} for kind, name, _ in scopes],
        "rows": [_rows(part, points) for part in tables],
        "clustered_by": [[cell.clustered_by for cell in part.rows[0].cells.values()] for part in tables],
        "p": [_p_values(part, ranked, points, laid_out if kind == "all" else None, merged.seed) for kind, _, part in scopes],
        "pairs": _pairs(laid_out, ranked, merged.seed),
        "curves": _curve_pairs(curves, ranked, list(merged.codecs)),
        "verdict": equal_bits.page_data(verdict, merged.metrics),
        "papers": _papers(gaps, merged.metrics),
        "tokens": {str(number): merged.tokens[name] for number, name in enumerate(map("@".join, points)) if name in merged.tokens},
        "frame_rates": _frame_rates(merged.records, points, kinds),
        "runs": [{key: run.get(key) for key in _PROVENANCE} for run in merged.runs],
    }


_PROVENANCE = ("suite_text", "datasets", "versions", "git_commit", "machine", "resampler", "seed", "started", "finished", "command")


def utterance_index(records: pd.DataFrame) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """(data set, utterance) in the order of the records, and what the page tells of each, column by column."""
    units = records.drop_duplicates(["dataset", "utterance"])
    told = {name: [_text(value) for value in units[name]] for name in ("dataset", "utterance", "speaker", "language", "text")}
    return list(zip(units["dataset"], units["utterance"], strict=True)), {**told, "duration_s": _numbers(units["duration_s"])}


def point_data(records: pd.DataFrame, units: Mapping[tuple[str, str], int], metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    """Every utterance of one point, column by column."""
    hypotheses = {name: texts for name in metrics if (texts := detail_texts(records, name, "hypothesis")) is not None}
    return {
        "unit": [units[pair] for pair in zip(records["dataset"], records["utterance"], strict=True)],
        "scores": [_numbers(records[name]) if name in records else [] for name in metrics],
        "hypotheses": hypotheses,
        "failures": {str(row): reasons for row, reasons in enumerate(failures_of(records)) if reasons},
        "rates": {name: _numbers(records[name]) for name in ("frame_rate", "token_rate", "bitrate")},
        "bits": {name: _numbers(records[f"bits_{name}"]) for name in ("tokens", "side", "total")},
    }


def render_leaderboard(data: Mapping[str, Any]) -> str:
    """index.html; the data and the code stand in files beside it."""
    return _rendered(TEMPLATE, title=data["title"], description=data["description"], scripts=SCRIPTS, style=STYLE)


def figures_page(names: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """figures/index.html: every figure, with its files to take away, and the metrics that are `left_out` of them."""
    return _rendered(TEMPLATE.with_name("figures.html.j2"), names=names, left_out=left_out, style=STYLE)


def _rendered(template: Path, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)


def script(name: str, data: Any) -> str:
    """A file that a page from the file system can load, where fetch() may not: it hands `data` over under `name`."""
    return f"bench.receive({_json(name)}, {_json(data)});\n"


def _json(data: Any) -> str:
    """JSON that is also safe within HTML."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _number(value: float) -> float | None:
    """Six digits, which is more than anything here is good for; null where there is none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _numbers(values: Any) -> list[float | None]:
    return [_number(float(value)) for value in np.asarray(values, dtype=np.float64).ravel()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _scopes(records: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Everything, then each data set and each language where there are several."""
    scopes = [("all", "", records)]
    for kind in ("dataset", "language"):
        names = sorted(records[kind].astype(str).unique())
        if len(names) > 1:
            scopes += [(kind, name, records[records[kind] == name]) for name in names]
    return scopes


def _metric(info: MetricInfo, table: Table, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    hashes = [sha256 for run in runs for sha256 in run["metrics"].get(info.name, {}).get("weights_sha256", ())]
    facts = {"decimals": decimals([row.cells[info.name] for row in table.rows]), "weights_sha256": list(dict.fromkeys(hashes))}
    told = f"{info.definition} Not among the leading columns: {info.caveat}." if info.caveat else info.definition
    return {**asdict(info), **facts, "definition": told}


def _codec(facts: Mapping[str, Any]) -> dict[str, Any]:
    names = ("module", "kind", "title", "checkpoint", "licence", "citation", "url", "parameters", "weights_sha256")
    return {name: facts.get(name, "") for name in names}


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"n_q": facts["n_q"], "options": facts["options"]}


def _rows(table: Table, points: Sequence[Point]) -> list[dict[str, Any] | None]:
    """A row for each of `points`, None where the part of the data does not hold it."""
    rows = {(row.codec, row.point): row for row in table.rows}
    return [_row(rows[point]) if point in rows else None for point in points]


def _row(row: Row) -> dict[str, Any]:
    cells = [
        [
            *_numbers([cell.mean, cell.low, cell.high, cell.median, cell.p5, cell.p95]),
            cell.n,
            cell.failed,
            cell.not_applicable,
            cell.clusters,
        ]
        for cell in row.cells.values()
    ]
    rates = {name: _number(value) for name, value in asdict(row.rates).items()}
    off_s = _number(row.length_error_s)
    facts = {"utterances": row.utterances, "duration_s": _number(row.duration_s), "is_stated": row.is_stated, "length_error_s": off_s}
    return {**facts, "rates": rates, "cells": cells}


def _p_values(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], points: Sequence[Point], whole: Grid | None, seed: int
) -> list[list[float | None]]:
    """Per metric, the unadjusted p of every pair: the page applies Holm to those that its filters leave."""
    p = np.full((len(metrics), len(points), len(points)), np.nan)
    laid_out = whole or grid(records, metrics, points, seed)
    place = {point: number for number, point in enumerate(laid_out.points)}
    columns = [laid_out.columns.index(name) for name in laid_out.metrics if name in metrics]
    rows = [list(metrics).index(laid_out.columns[column]) for column in columns]
    for i, point in enumerate(points[:-1]):
        others = [j for j in range(i + 1, len(points)) if points[j] in place]
        if point in place and others:
            sums = laid_out.differences([place[points[j]] for j in others], place[point], columns)
            flipped = stats.sign_flip_p(sums, seed, stats.FLIPS if whole else FLIPS_IN_PARTS)
            p[np.ix_(rows, [i], others)] = flipped.reshape(len(others), len(columns)).T[:, None]
    upper = np.triu_indices(len(points), 1)
    return [_numbers(matrix[upper]) for matrix in p]


def _pairs(laid_out: Grid, metrics: Mapping[str, MetricInfo], seed: int) -> list[list[list[Any]]]:
    """Per pair and metric: mean, low, high, n, better, worse of the first less the second."""
    pairs = []
    for i in range(len(laid_out.points) - 1):
        # The first of each pair is the subtrahend here: turned round, so that the page reads first less second.
        paired = paired_differences(laid_out, metrics, list(range(i + 1, len(laid_out.points))), i, seed)
        bounds = (-paired.mean, -paired.high, -paired.low)
        counts = (paired.n, paired.worse, paired.better)
        for row in range(len(paired.mean)):
            metrics_of_pair = zip(*(values[row] for values in (*bounds, *counts)), strict=True)
            pairs.append([[*_numbers(values[:3]), *map(int, values[3:])] for values in metrics_of_pair])
    return pairs


def _curve_pairs(curves: Curves, metrics: Mapping[str, MetricInfo], codecs: Sequence[str]) -> dict[str, list[Any]]:
    """Of every two codecs that have a curve: BD-rate and BD-quality of the first against the second, and both at equal rates.

    averages      first, second, metric, against, then the numbers of CurveDifference; the page turns them round for the other order
    undefined     first, second, metric, against, why there are none
    equal_rates   codec, point, metric, against, rate, difference, low, high
    """
    averages: list[list[Any]] = []
    undefined: list[list[Any]] = []
    equal_rates: list[list[Any]] = []
    for number, info in enumerate(metrics.values()):
        with_curve = [codec for codec in codecs if len(curves.of(codec)) > 1]
        for (first, second), (axis, against) in product(combinations(with_curve, 2), enumerate(AGAINST)):
            names = [codecs.index(first), codecs.index(second), number, axis]
            found = curve_difference(curves, info, against, first, second)
            if found.undefined:
                undefined.append([*names, found.undefined])
            else:
                rate = (found.bd_rate, found.bd_rate_low, found.bd_rate_high)
                quality = (found.bd_quality, found.bd_quality_low, found.bd_quality_high)
                averages.append([*names, *_numbers([*rate, *quality, *found.quality_overlap, *found.rate_overlap]), *found.points])
            for codec, other in ((first, second), (second, first)):
                for point in curves.of(other):
                    if equal := at_equal_rate(curves, info, against, codec, point):
                        numbers = _numbers([equal.rate, equal.difference, equal.low, equal.high])
                        equal_rates.append([codecs.index(codec), point, number, axis, *numbers])
    return {"averages": averages, "undefined": undefined, "equal_rates": equal_rates}


def _papers(gaps: Sequence[Gap], metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    """What stands beside published numbers, as text; `columns` name the metric or rate of each line."""
    lines = [asdict(line) for line in papers.lines(gaps, metrics)]
    return {"title": papers.TITLE, "note": papers.NOTE, "lines": lines, "columns": [gap.published.metric for gap in gaps]}


def _frame_rates(records: pd.DataFrame, points: Sequence[Point], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Histograms of the utterances' measured frame rates at each point of the dynamic codecs."""
    dynamic = {number: point for number, point in enumerate(points) if kinds[point[0]] == "dynamic"}
    by_point = records.groupby(["codec", "point"], sort=False)["frame_rate"]
    rates = {number: by_point.get_group(point).to_numpy(np.float64) for number, point in dynamic.items()}
    rates = {number: values[values > 0] for number, values in rates.items()}
    histograms = {}
    for number, values in rates.items():
        if len(values):
            centre = float(np.median(values))
            span = (min(values.min(), 0.95 * centre), max(values.max(), 1.05 * centre))  # rates held exactly are not blown up
            counts, edges = np.histogram(values, bins=HISTOGRAM_BINS, range=span)
            histograms[str(number)] = {"from": _number(edges[0]), "to": _number(edges[-1]), "counts": counts.tolist()}
    return histograms
