"""Writes a report's folder: the page with its data and audio, the tables, and the figures for papers."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.analysis.comparison import AGAINST, Curves, resampled_curves
from bench.analysis.equal_bits import Verdict
from bench.analysis.grid import grid
from bench.analysis.listeners import Correlation
from bench.analysis.papers import Gap, against_papers
from bench.analysis.summary import Table, summary
from bench.files import write_text
from bench.published import Published
from bench.record import MetricInfo, ranking
from bench.report import listeners, media, papers, plot
from bench.report.equal_bits import verdict_of
from bench.report.leaderboard import SCRIPTS, STYLE, figures_page, page_data, point_data, render_leaderboard, script, utterance_index
from bench.report.merge import Merged, merge
from bench.report.table import render_csv, render_latex, render_markdown

ASSETS = Path(__file__).parent / "assets"
MAX_LISTENING = 60  # utterances with audio and drawings, the worst of every metric first: a report stays a folder that can be sent


def build(run_dirs: Sequence[Path], out: Path) -> Path:
    """The report of one run, or of several merged, in `out`; returns its index.html. UserError says what can not be reported, and why."""
    merged = merge(run_dirs)
    heard_by = [each for folder in run_dirs for each in listeners.read(folder)]
    return write(merged, table_of(merged), verdict_of(merged), out, heard_by)


def table_of(merged: Merged, by: tuple[str, ...] = ()) -> Table:
    return summary(merged.records, merged.metrics, by=by, nominal_frame_rates=merged.points, seed=merged.seed)


def write(merged: Merged, table: Table, verdict: Verdict, out: Path, heard_by: Sequence[Correlation] = ()) -> Path:
    """As `build`, of runs that are read, summed up and judged already, with what `bench listeners` found of them."""
    laid_out = grid(merged.records, merged.metrics, list(merged.points), merged.seed)
    curves = resampled_curves(laid_out, merged.seed)
    gaps = _against_papers(merged, table)
    _write_tables(merged, table, gaps, heard_by, out)
    _write_figures(merged, table, curves, out / "figures")

    data = {**page_data(merged, table, verdict, laid_out, curves, gaps), "listeners": listeners.page_table(heard_by)}
    units, utterances = utterance_index(merged.records)
    heard = _listening(merged.records, merged.metrics)
    numbers = {unit: number for number, unit in enumerate(units)}
    by_point = dict(list(merged.records.groupby(["codec", "point"], sort=False)))
    for number, point in enumerate(laid_out.points):
        write_text(out / f"data/point{number}.js", script(f"point{number}", point_data(by_point[point], numbers, merged.metrics)))
        _write_media(by_point[point], number, {unit: numbers[unit] for unit in heard}, out)
    available = {numbers[unit]: _with_audio(merged.records, unit, laid_out.points) for unit in heard}
    write_text(out / "data/utterances.js", script("utterances", {**utterances, "audio": available}))
    write_text(out / "data/report.js", script("report", data))
    for name in (*SCRIPTS, STYLE):
        write_text(out / "assets" / name, (ASSETS / name).read_text(encoding="utf-8"))
    write_text(out / "index.html", render_leaderboard(data))
    return out / "index.html"


def _against_papers(merged: Merged, table: Table) -> list[Gap]:
    """Each run against its own papers, whose numbers are of its data; what one run lacks is told only where no other has it."""
    gaps: dict[Published, list[Gap]] = {}
    for records, published in zip(merged.parts, merged.published, strict=True):
        if published:
            own = table if len(merged.parts) == 1 else summary(records, merged.metrics, seed=merged.seed)
            for gap in against_papers(own, published):
                gaps.setdefault(gap.published, []).append(gap)
    return [gap for found in gaps.values() for gap in ([each for each in found if each.n] or found[:1])]


def _write_tables(merged: Merged, table: Table, gaps: Sequence[Gap], heard_by: Sequence[Correlation], out: Path) -> None:
    if heard_by:
        listeners.write(heard_by, out)
    if gaps:
        write_text(out / "against_papers.csv", papers.render_csv(gaps))
    parts = {by: table_of(merged, (by,)) for by in ("dataset", "language") if merged.records[by].nunique() > 1}
    for suffix, render in (("md", render_markdown), ("csv", render_csv), ("tex", render_latex)):
        sections = papers.render_markdown(gaps, merged.metrics) + listeners.render_markdown(heard_by)
        write_text(out / f"table.{suffix}", render(table) + (sections if suffix == "md" else ""))
        for by, part in parts.items():
            write_text(out / f"table_by_{by}.{suffix}", render(part))


def _write_figures(merged: Merged, table: Table, curves: Curves, folder: Path) -> None:
    leading = list(ranking(merged.metrics).items())
    ranked, left_out = dict(leading[: plot.MAX_PANELS]), [name for name, _ in leading[plot.MAX_PANELS :]]
    figures = {f"all_{against}": (ranked, against) for against in AGAINST if ranked}
    figures |= {f"{info.name}_bitrate": ({info.name: info}, "bitrate") for info in ranked.values()}
    for name, (metrics, against) in figures.items():
        plot.save(plot.plot_metrics(table, curves, metrics, against), folder, name)
    write_text(folder / "index.html", figures_page(list(figures), left_out))


def _listening(records: pd.DataFrame, metrics: Mapping[str, MetricInfo]) -> list[tuple[str, str]]:
    """The utterances with audio to hear, at most MAX_LISTENING: the worst of each metric and point in turn."""
    heard = _with_files(records)
    heard = heard[heard["kind"] != "ceiling"]
    orders: list[Iterable[tuple[str, str]]] = []
    for name, info in metrics.items():
        if name in heard and not info.diagnostic:
            worst_first = heard.sort_values(name, ascending=info.higher_is_better, kind="stable")
            for _, rows in worst_first.groupby(["codec", "point"], sort=False):
                orders.append(zip(rows["dataset"], rows["utterance"], strict=True))
    everything = zip(heard["dataset"], heard["utterance"], strict=True)
    in_turn = (unit for units in itertools.zip_longest(*orders) for unit in units if unit is not None)
    return list(dict.fromkeys(itertools.chain(in_turn, everything)))[:MAX_LISTENING]


def _with_files(records: pd.DataFrame) -> pd.DataFrame:
    """Those that were decoded; of a codec that failed or was refused files may lie there that count for nothing."""
    return records[(records["audio_file"] != "") & (records["sample_rate"] > 0)]


def _with_audio(records: pd.DataFrame, unit: tuple[str, str], points: Sequence[tuple[str, str]]) -> dict[int, str]:
    """Point number -> suffix of the audio file, for the points at which the utterance can be heard."""
    rows = _with_files(records[(records["dataset"] == unit[0]) & (records["utterance"] == unit[1])])
    place = {point: number for number, point in enumerate(points)}
    return {
        place[codec, point]: Path(audio_file).suffix
        for codec, point, audio_file in zip(rows["codec"], rows["point"], rows["audio_file"], strict=True)
        if Path(audio_file).is_file()
    }


def _write_media(records: pd.DataFrame, point: int, heard: Mapping[tuple[str, str], int], out: Path) -> None:
    """Audio and drawings of the utterances to hear at one point, under their numbers: ids may hold what no file name can."""
    for row in _with_files(records).itertuples():
        unit = heard.get((str(row.dataset), str(row.utterance)))
        source = Path(str(row.audio_file))
        if unit is None or not source.is_file():
            continue
        _link(source, out / f"audio/u{unit}/p{point}{source.suffix}")
        drawn = media.drawing(source)
        stream = Path(str(row.stream_file))
        if row.stream_file and stream.is_file():
            drawn["frames"] = media.frames(stream, int(row.sample_rate), int(row.hop_length))
        write_text(out / f"media/u{unit}/p{point}.js", script(f"u{unit}p{point}", drawn))


def _link(source: Path, target: Path) -> None:
    """A second name for the file where the file system allows it, else a copy; in place of what an earlier report left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
