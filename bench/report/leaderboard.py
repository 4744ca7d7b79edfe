"""The page: its data from records, as aggregates and as one file a point, and the frame of index.html."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.analysis.comparison import AGAINST, Curves, at_equal_rates, curve_difference
from bench.analysis.grid import Grid, Point, clustering, scale_of
from bench.analysis.papers import Gap
from bench.analysis.summary import Row, Table
from bench.record import MetricInfo, detail, detail_texts, failures_of, ranking
from bench.report import equal_bits, listeners, papers
from bench.report.labels import point_label
from bench.report.results import PARTS, Results
from bench.report.style import COLOURS, looks
from bench.report.table import decimals

MAX_CURVES = 1500  # pairs of curves, each of one metric and rate, that are compared beforehand: those with the baseline's codec come first
HISTOGRAM_BINS = 24
MAX_REASONS = 200  # of failures that the page tells: where every utterance has one of its own, they say nothing more
TEMPLATE = Path(__file__).parent / "leaderboard.html.j2"
SCRIPTS = tuple(
    f"{name}.js"
    for name in (
        *("core", "address", "paired", "verdict", "columns", "leaderboard", "papers", "listeners"),
        *("charts", "rates", "deck", "listen", "compare", "provenance", "main"),
    )
)
STYLE = "report.css"


def page_data(results: Results, laid_out: Grid, curves: Curves) -> dict[str, Any]:
    """All that the page holds before anything is clicked; the rest, it loads or computes when asked.

    Points and metrics are told by their numbers.

    student   half-width of a 95 % interval in standard errors (Student's t), of MIN_CLUSTERS clusters, of one more, and so on
    """
    merged, table = results.merged, results.table
    points = laid_out.points
    ranked = ranking(merged.metrics)
    kinds = {codec: str(facts["kind"]) for codec, facts in merged.codecs.items()}
    scopes = _scopes(results)
    families = {row.codec: row.family for row in table.rows}
    style = looks(kinds, {codec: families.get(codec) or str(facts.get("module", "")) for codec, facts in merged.codecs.items()})
    metrics = [_metric(info, table, merged.runs) for info in merged.metrics.values()]
    places = [metric["decimals"] for metric in metrics]
    return {
        "title": " + ".join(dict.fromkeys(run["suite"]["name"] for run in merged.runs)),
        "description": merged.runs[0]["suite"].get("description", ""),
        "metrics": metrics,
        "ranking": [list(merged.metrics).index(name) for name in ranked],
        "colours": COLOURS,
        "codecs": [
            {"label": label, "family": families.get(label, ""), **asdict(style[label]), **_codec(facts)}
            for label, facts in merged.codecs.items()
        ],
        "points": [
            {
                "codec": list(merged.codecs).index(codec),
                "name": point,
                "label": point_label(point),
                **_settings(merged.codecs[codec]["points"][point]),
            }
            for codec, point in points
        ],
        "baseline": next((number for number, (codec, point) in enumerate(points) if f"{codec}@{point}" == merged.baseline), None),
        "scopes": [{"kind": kind, "name": name} for kind, name, _ in scopes],
        "rows": [_rows(rows, points, places) for _, _, rows in scopes],
        "best": [_best(rows, points) for _, _, rows in scopes],
        "clustered_by": [[cell.clustered_by for cell in rows[0].cells.values()] for _, _, rows in scopes],
        "student": _student(laid_out.num_clusters),
        "curves": _curve_pairs(
            curves, ranked, list(merged.codecs), next((codec for codec, point in points if f"{codec}@{point}" == merged.baseline), "")
        ),
        "failures": _failures(merged.records, points),
        "verdict": equal_bits.page_data(results.verdict, merged.metrics),
        "papers": _papers(results.gaps, merged.metrics),
        "listeners": listeners.page_table(results.heard_by),
        "tokens": {str(number): merged.tokens[name] for number, name in enumerate(map("@".join, points)) if name in merged.tokens},
        "frame_rates": _frame_rates(merged.records, points, kinds),
        "listen": shlex.join(["bench", "listen", *merged.folders]),
        "runs": [{key: run.get(key) for key in _PROVENANCE} for run in merged.runs],
    }


_PROVENANCE = ("suite_text", "datasets", "versions", "git_commit", "machine", "resampler", "seed", "started", "finished", "command")


def utterance_index(records: pd.DataFrame, seed: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """(data set, utterance) in the order of the records, and what the page tells of each, column by column.

    clusters   of each scope, the cluster of each utterance there, whose signs are flipped together; -1 for one that is not in it
    """
    units = records.drop_duplicates(["dataset", "utterance"])
    told = {name: [_text(value) for value in units[name]] for name in ("dataset", "utterance", "speaker", "language", "text")}
    scopes = _scope_values(records)
    clusters = [np.full(len(units), -1) for _ in scopes]
    for (kind, value), own in zip(scopes, clusters, strict=True):
        there = np.ones(len(units), dtype=bool) if kind == "all" else (units[kind].astype(str) == value).to_numpy()
        own[there] = clustering(units[there], seed)
    pairs = list(zip(units["dataset"], units["utterance"], strict=True))
    return pairs, {**told, "duration_s": _numbers(units["duration_s"]), "clusters": [each.tolist() for each in clusters]}


def _student(num_clusters: int) -> list[float | None]:
    return _numbers(stats.student_quantile(np.arange(stats.MIN_CLUSTERS, num_clusters + 1)))


def sign_data(num_clusters: int, seed: int) -> dict[str, Any] | None:
    """The signs that `stats.sign_flip_p` draws for so many clusters, a bit each, rows of whole bytes in base64; None where it takes all."""
    if stats.takes_all_signs(num_clusters):
        return None
    signs = stats.flip_signs(num_clusters, seed)
    return {"flips": len(signs), "bits": base64.b64encode(np.packbits(signs > 0, axis=1, bitorder="little").tobytes()).decode()}


def point_data(records: pd.DataFrame, units: Mapping[tuple[str, str], int], metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    """Every utterance of one point, column by column."""
    hypotheses = {name: texts for name in metrics if (texts := detail_texts(records, name, "hypothesis")) is not None}
    return {
        "unit": [units[pair] for pair in zip(records["dataset"], records["utterance"], strict=True)],
        "scores": [_numbers(records[name]) if name in records else [] for name in metrics],
        "counts": {str(number): _counts(records, info) for number, info in enumerate(metrics.values()) if info.corpus_ratio},
        "hypotheses": hypotheses,
        "failures": {str(row): reasons for row, reasons in enumerate(failures_of(records)) if reasons},
        "rates": {name: _numbers(records[name]) for name in ("frame_rate", "token_rate", "bitrate")},
        "bits": {name: _numbers(records[f"bits_{name}"]) for name in ("tokens", "side", "total")},
    }


def _counts(records: pd.DataFrame, info: MetricInfo) -> list[list[float | None]]:
    """Errors, in the metric's unit times words, and words of each utterance."""
    errors, words = (detail(records, info.name, name) for name in ("errors", "words"))
    return [_numbers(scale_of(info) * errors), _numbers(words)]


def render_leaderboard(data: Mapping[str, Any]) -> str:
    """index.html; the data and the code stand in files beside it."""
    return rendered(TEMPLATE, title=data["title"], description=data["description"], scripts=SCRIPTS, style=STYLE)


def figures_page(names: Mapping[str, str], more: int = 0, left_out: Sequence[str] = ()) -> str:
    """figures/index.html: every figure, by the name of its files and what it shows; how many `more` there can be; metrics `left_out`."""
    return rendered(TEMPLATE.with_name("figures.html.j2"), names=names, more=more, left_out=left_out, style=STYLE)


def rendered(template: Path, **values: Any) -> str:
    """A page from its template, `values` escaped; one that is lacking is an error."""
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


def _rounded(value: float, places: int) -> float | None:
    return round(value, places) if math.isfinite(value) else None


def _numbers(values: Any) -> list[float | None]:
    return [_number(float(value)) for value in np.asarray(values, dtype=np.float64).ravel()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _scope_values(records: pd.DataFrame) -> list[tuple[str, str]]:
    """("all", ""), then the parts of the data: column and value."""
    parts = [(by, str(value)) for by in PARTS if records[by].nunique() > 1 for value in sorted(records[by].astype(str).unique())]
    return [("all", ""), *parts]


def _scopes(results: Results) -> list[tuple[str, str, list[Row]]]:
    """Everything, then each part of the data: column, value, rows."""
    rows: dict[tuple[str, str], list[Row]] = {("all", ""): list(results.table.rows)}
    for by, part in results.parts.items():
        for row in part.rows:
            rows.setdefault((by, row.group[by]), []).append(row)
    return [(*scope, rows[scope]) for scope in _scope_values(results.merged.records)]


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


def _rows(rows: Sequence[Row], points: Sequence[Point], places: Sequence[int]) -> list[dict[str, Any] | None]:
    """A row for each of `points`, None where the part of the data does not hold it; `places` are decimals that the page shows."""
    known = {(row.codec, row.point): row for row in rows}
    return [_row(known[point], places) if point in known else None for point in points]


def _best(rows: Sequence[Row], points: Sequence[Point]) -> list[int | None]:
    """Of each metric, the number of the best point, which the p of the others' cells are against."""
    best = {name: points.index((row.codec, row.point)) for row in rows for name, cell in row.cells.items() if cell.mark == "best"}
    return [best.get(name) for name in rows[0].cells]


def _row(row: Row, places: Sequence[int]) -> dict[str, Any]:
    """`cells` hold of each metric: mean, low, high, median, 5th and 95th percentile, n, failed, not applicable, clusters, p of the best.

    The mean, by which the page sorts, has six digits, the others two more than are shown: of large runs they are most of the page.
    """
    cells = [
        [
            _number(cell.mean),
            *(_rounded(value, shown + 2) for value in (cell.low, cell.high, cell.median, cell.p5, cell.p95)),
            cell.n,
            cell.failed,
            cell.not_applicable,
            cell.clusters,
            _rounded(cell.p_best, 6),
        ]
        for cell, shown in zip(row.cells.values(), places, strict=True)
    ]
    rates = {name: _number(value) for name, value in asdict(row.rates).items() if not name.startswith("utterance_mean")}
    off_s = _number(row.length_error_s)
    told = {"is_stated": row.is_stated, "length_error_s": off_s, "heard_whole": row.heard_whole}
    facts = {"utterances": row.utterances, "duration_s": _number(row.duration_s), **told}
    return {**facts, "rates": rates, "cells": cells}


def _failures(records: pd.DataFrame, points: Sequence[Point]) -> dict[str, Any]:
    """Why scores are missing, point by point, the most frequent reason first; and how many reasons are `left_out`."""
    failed = records[records["failures"] != "{}"]
    counts: Counter[tuple[Point, str, str]] = Counter()
    for (codec, point, cell), rows in failed.groupby(["codec", "point", "failures"], sort=False).size().items():
        for name, reason in json.loads(cell).items():
            counts[(codec, point), name, reason] += int(rows)
    place = {point: number for number, point in enumerate(points)}
    lines = [
        {"point": place[point], "metric": name, "utterances": utterances, "reason": reason}
        for (point, name, reason), utterances in sorted(counts.items(), key=lambda item: (place[item[0][0]], -item[1]))
    ]
    return {"lines": lines[:MAX_REASONS], "left_out": max(0, len(lines) - MAX_REASONS)}


def _curve_pairs(curves: Curves, metrics: Mapping[str, MetricInfo], codecs: Sequence[str], baseline: str) -> dict[str, Any]:
    """Of every two codecs that have a curve: BD-rate and BD-quality of the first against the second, and both at equal rates.

    averages      first, second, metric, against, then the numbers of CurveDifference; the page turns them round for the other order
    undefined     first, second, metric, against, why there are none
    equal_rates   codec, point, metric, against, rate, difference, low, high
    left_out      first, second: beyond MAX_CURVES
    metrics       how many, the first, were compared
    """
    averages: list[list[Any]] = []
    undefined: list[list[Any]] = []
    equal_rates: list[list[Any]] = []
    with_curve = [codec for codec in codecs if len(curves.of(codec)) > 1]
    pairs = sorted(combinations(with_curve, 2), key=lambda pair: baseline not in pair)
    compared = list(metrics.values())[: max(1, MAX_CURVES // (len(AGAINST) * max(1, len(with_curve) - 1)))]
    most = max(1, MAX_CURVES // (len(AGAINST) * max(1, len(compared))))
    for first, second in pairs[:most]:
        for (number, info), (axis, against) in product(enumerate(compared), enumerate(AGAINST)):
            names = [codecs.index(first), codecs.index(second), number, axis]
            found = curve_difference(curves, info, against, first, second)
            if found.undefined:
                undefined.append([*names, found.undefined])
            else:
                rate = (found.bd_rate, found.bd_rate_low, found.bd_rate_high)
                quality = (found.bd_quality, found.bd_quality_low, found.bd_quality_high)
                averages.append([*names, *_numbers([*rate, *quality, *found.quality_overlap, *found.rate_overlap]), *found.points])
            for codec, other in ((first, second), (second, first)):
                there = curves.of(other)
                for point, equal in zip(there, at_equal_rates(curves, info, against, codec, there), strict=True):
                    if equal:
                        numbers = _numbers([equal.rate, equal.difference, equal.low, equal.high])
                        equal_rates.append([codecs.index(codec), point, number, axis, *numbers])
    left_out = [[codecs.index(codec) for codec in pair] for pair in pairs[most:]]
    return {"averages": averages, "undefined": undefined, "equal_rates": equal_rates, "left_out": left_out, "metrics": len(compared)}


def _papers(gaps: Sequence[Gap], metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    """What stands beside published numbers, as text; `of` holds codec, point and metric or rate of each line as they are saved."""
    lines = [asdict(line) | {"point": point_label(line.point)} for line in papers.lines(gaps, metrics)]
    return {
        "title": papers.TITLE,
        "note": papers.NOTE,
        "lines": lines,
        "of": [[gap.published.codec, gap.published.point, gap.published.metric] for gap in gaps],
    }


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
