"""Writes a report's folder: the page with its data and audio, the tables, and the figures for papers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.comparison import AGAINST, Curves, resampled_curves
from bench.analysis.grid import grid
from bench.analysis.summary import Table
from bench.errors import UserError
from bench.files import write_text
from bench.record import MetricInfo, ranking
from bench.report import equal_bits, listeners, media, papers, plot
from bench.report.leaderboard import (
    SCRIPTS,
    STYLE,
    figures_page,
    page_data,
    point_data,
    render_leaderboard,
    script,
    sign_data,
    utterance_index,
)
from bench.report.merge import Merged
from bench.report.results import Results, files_of, results_of
from bench.report.table import render_terminal

if TYPE_CHECKING:
    from rich.console import Console

ASSETS = Path(__file__).parent / "assets"
MAX_LISTENING = 60  # utterances with audio and drawings, the worst of every metric first: a report stays a folder that can be sent


def build(run_dirs: Sequence[Path], out: Path, all_figures: bool = False) -> Path:
    """The report of one run, or of several merged, in `out`; returns its index.html. UserError says what can not be reported, and why.

    all_figures   beside the one of all metrics against bitrate, those against tokens and frames a second, and one of each metric
    """
    results = results_of(run_dirs)
    return write(results, files_of(results), out, all_figures)


def written(run: Path, report: Path, console: Console) -> str:
    """Tables and report of a run, written; and what the terminal shows of them."""
    results = results_of([run])
    files = files_of(results)
    for name, text in files.items():
        write_text(run / name, text)
    with console.status("writing the report"):
        page = write(results, files, report)
    metrics = results.table.metrics
    with console.capture() as shown:
        console.print(render_terminal(results.table, console.width))
        if results.gaps:
            console.print(papers.render_terminal(results.gaps, metrics, console.width))
        console.print(f"\nreport: {page}\n", highlight=False, markup=False, soft_wrap=True)
        if results.verdict.families or "dynamic" in set(results.merged.records["kind"]):  # else nobody asks for it
            console.print(equal_bits.render_brief(results.verdict))
    return shown.get()


def write(results: Results, files: Mapping[str, str], out: Path, all_figures: bool = False) -> Path:
    """As `build`, of what is summed up already, with `files_of` it."""
    merged = results.merged
    laid_out = grid(merged.records, merged.metrics, list(merged.points), merged.seed)
    curves = resampled_curves(laid_out, merged.seed)
    for name, text in files.items():
        write_text(out / name, text)
    if results.heard_by:
        listeners.write(results.heard_by, out)
    _write_figures(merged, results.table, curves, out / "figures", all_figures)

    data = page_data(results, laid_out, curves)
    units, utterances = utterance_index(merged.records, merged.seed)
    heard = _listening(merged.records, merged.metrics)
    numbers = {unit: number for number, unit in enumerate(units)}
    by_point = dict(list(merged.records.groupby(["codec", "point"], sort=False)))
    for number, point in enumerate(laid_out.points):
        write_text(out / f"data/point{number}.js", script(f"point{number}", point_data(by_point[point], numbers, merged.metrics)))
        _write_media(by_point[point], number, {unit: numbers[unit] for unit in heard}, out)
    available = {numbers[unit]: _with_audio(merged.records, unit, laid_out.points) for unit in heard}
    write_text(out / "data/utterances.js", script("utterances", {**utterances, "audio": available}))
    for clusters in sorted({max(each) + 1 for each in utterances["clusters"]}):
        if signs := sign_data(clusters, merged.seed):
            write_text(out / f"data/signs{clusters}.js", script(f"signs{clusters}", signs))
    write_text(out / "data/report.js", script("report", data))
    for name in (*SCRIPTS, STYLE):
        write_text(out / "assets" / name, (ASSETS / name).read_text(encoding="utf-8"))
    write_text(out / "index.html", render_leaderboard(data))
    return out / "index.html"


def _write_figures(merged: Merged, table: Table, curves: Curves, folder: Path, all_of_them: bool) -> None:
    leading = list(ranking(merged.metrics).items())
    ranked, left_out = dict(leading[: plot.MAX_PANELS]), [name for name, _ in leading[plot.MAX_PANELS :]]
    sides = plot.fixed_and_dynamic(table)
    usual = {"fixed_and_dynamic": (sides, dict(leading[: plot.LEADING_PANELS]), "bitrate")} if ranked and sides.rows else {}
    usual |= {"all_bitrate": (table, ranked, "bitrate")} if ranked else {}
    others = {f"all_{against}": (table, ranked, against) for against in AGAINST if ranked and against != "bitrate"}
    others |= {f"{info.name}_bitrate": (table, {info.name: info}, "bitrate") for info in ranked.values()}
    drawn = usual | others if all_of_them else usual
    for name in others.keys() - drawn.keys():
        plot.remove(folder, name)
    for name, (rows, metrics, against) in drawn.items():
        plot.save(plot.plot_metrics(rows, curves, metrics, against), folder, name)
    write_text(
        folder / "index.html",
        figures_page(
            {name: _caption(name, metrics, against) for name, (_, metrics, against) in drawn.items()},
            len(others.keys() - drawn.keys()),
            left_out,
        ),
    )


def _caption(name: str, metrics: Mapping[str, MetricInfo], against: str) -> str:
    """What a figure shows, in words."""
    rate = {"bitrate": "bitrate", "token_rate": "tokens per second", "frame_rate": "frames per second"}[against]
    if name == "fixed_and_dynamic":
        return f"Fixed and dynamic frame rates against {rate}"
    return f"{next(iter(metrics)) if name != f'all_{against}' else 'All codecs'} against {rate}"


def _listening(records: pd.DataFrame, metrics: Mapping[str, MetricInfo]) -> list[tuple[str, str]]:
    """The utterances with audio to hear, at most MAX_LISTENING: the worst of each metric and point in turn."""
    heard = with_files(records)
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


def with_files(records: pd.DataFrame) -> pd.DataFrame:
    """Those that were decoded; of a codec that failed or was refused files may lie there that count for nothing."""
    return records[(records["audio_file"] != "") & (records["sample_rate"] > 0)]


def _with_audio(records: pd.DataFrame, unit: tuple[str, str], points: Sequence[tuple[str, str]]) -> list[int]:
    """Numbers of the points at which the utterance can be heard."""
    rows = with_files(records[(records["dataset"] == unit[0]) & (records["utterance"] == unit[1])])
    place = {point: number for number, point in enumerate(points)}
    named = zip(rows["codec"], rows["point"], rows["audio_file"], strict=True)
    return [place[codec, point] for codec, point, audio_file in named if Path(audio_file).is_file()]


def _write_media(records: pd.DataFrame, point: int, heard: Mapping[tuple[str, str], int], out: Path) -> None:
    """Audio and drawings of the utterances to hear at one point, under their numbers: ids may hold what no file name can."""
    for row in with_files(records).itertuples():
        unit = heard.get((str(row.dataset), str(row.utterance)))
        source = Path(str(row.audio_file))
        if unit is None or not source.is_file():
            continue
        with _whole(source):
            sound, drawn = media.sound(source), media.drawing(source)
        stream = Path(str(row.stream_file))
        if row.stream_file and stream.is_file():
            with _whole(stream):
                drawn["frames"] = media.frames(stream, int(row.sample_rate), int(row.hop_length))
        write_text(out / f"audio/u{unit}/p{point}.js", script(f"sound u{unit}p{point}", sound))
        write_text(out / f"media/u{unit}/p{point}.js", script(f"u{unit}p{point}", drawn))


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """UserError where a file of the run can not be read as what it was."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: {error}; delete it, and the report is made without it") from None
