"""Static figures for papers: each metric against bitrate, token rate or frame rate, as SVG, PDF and PNG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis.comparison import AGAINST, Curves, pareto_points
from bench.analysis.summary import Row, Table
from bench.files import disk_errors
from bench.record import MetricInfo
from bench.report.style import COLOURS, Look, looks
from bench.report.table import ARROW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CODECS = len(COLOURS)  # named in a legend; of more, those on the fronts, in colours of the figure's own, and the others as grey points
MAX_PANELS = 12  # metrics of one figure
LEADING_PANELS = 4  # of the figure of fixed and dynamic codecs
AXIS_LABEL = {
    "bitrate": "Bitrate (kbit/s), tokens and side information",
    "token_rate": "Tokens per second",
    "frame_rate": "Frames per second (Hz)",
}
MARKER = {"circle": "o", "diamond": "D", "square": "s", "triangle": "^", "cross": "x"}
RC: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


def rate_of(row: Row, against: str) -> float:
    """In the unit of the axis: kbit/s, tokens a second, Hz."""
    rate = float(getattr(row.rates, against))
    return rate / 1000 if against == "bitrate" else rate


def plot_metrics(table: Table, curves: Curves, metrics: Mapping[str, MetricInfo], against: str) -> Figure:
    """A panel a metric, two a row, with one legend above: 95 % intervals, the Pareto front as a grey step, the reference dotted.

    At most MAX_PANELS metrics; of more than MAX_CODECS codecs, those that are `most_on_front` are named.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    metrics = dict(list(metrics.items())[:MAX_PANELS])
    kinds = {row.codec: row.kind for row in table.rows}
    style = looks({codec: kinds[codec] for codec in most_on_front(curves, metrics, against, kinds)})
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.4 * columns, 2.5 * rows + 0.4), layout="constrained")
        panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for panel, info in zip(panels, metrics.values(), strict=False):
            _draw(panel, table, curves, info, against, style)
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper center", ncols=min(4, 2 * columns), handlelength=2.5)
    return figure


def fixed_and_dynamic(table: Table) -> Table:
    """The rows of fixed codecs, their families and dynamic codecs; none where a side is missing: then there is nothing to hold together."""
    rows = tuple(row for row in table.rows if row.kind in ("fixed", "dynamic") or row.family)
    return replace(table, rows=rows if len({row.kind for row in rows}) > 1 else ())


def most_on_front(curves: Curves, metrics: Mapping[str, MetricInfo], against: str, kinds: Mapping[str, str]) -> list[str]:
    """All codecs, where they are MAX_CODECS at most; else the reference and those with most points on the Pareto fronts, as they come."""
    ranked = [codec for codec, kind in kinds.items() if kind != "ceiling"]
    if len(ranked) <= MAX_CODECS:
        return list(kinds)
    fronts = [pareto_points(curves, info, against, ranked) for info in metrics.values()]
    counts = Counter(codec for front in fronts for codec, _ in front)
    chosen = {codec for codec, _ in counts.most_common(MAX_CODECS)}
    return [codec for codec, kind in kinds.items() if kind == "ceiling" or codec in chosen]


def save(figure: Figure, folder: Path, name: str) -> None:
    """NAME.svg, NAME.pdf and NAME.png, the same bytes for the same numbers."""
    import matplotlib as mpl

    with disk_errors(folder / name), mpl.rc_context({**RC, "svg.hashsalt": name}):
        folder.mkdir(parents=True, exist_ok=True)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, not once a format
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        figure.savefig(folder / f"{name}.png")


def _draw(panel: Axes, table: Table, curves: Curves, info: MetricInfo, against: str, style: Mapping[str, Look]) -> None:
    assert against in AGAINST
    codecs: dict[str, list[Row]] = {}
    for row in table.rows:
        codecs.setdefault(row.codec, []).append(row)
    others = [row for codec, rows in codecs.items() if codec not in style for row in rows]
    if others:
        rates, means = [rate_of(row, against) for row in others], [row.cells[info.name].mean for row in others]
        panel.scatter(rates, means, s=6, color="0.75", linewidths=0, zorder=0, label=f"{len(codecs) - len(style)} others")
    for codec, rows in codecs.items():
        if codec not in style:
            continue
        drawn = sorted(
            (row for row in rows if np.isfinite(rate_of(row, against) + row.cells[info.name].mean)), key=lambda row: rate_of(row, against)
        )
        look = style[codec]
        if rows[0].kind == "ceiling":
            ceiling = rows[0].cells[info.name].mean
            if np.isfinite(ceiling):
                panel.axhline(ceiling, color="0.6", linewidth=0.7, linestyle=(0, (1, 3)), label=_escape(codec))
            continue
        if not drawn:
            continue
        cells = [row.cells[info.name] for row in drawn]
        spread = np.nan_to_num([[cell.mean - cell.low for cell in cells], [cell.high - cell.mean for cell in cells]]).clip(min=0)
        panel.errorbar(
            [rate_of(row, against) for row in drawn],
            [cell.mean for cell in cells],
            yerr=spread,
            color=look.colour,
            marker=MARKER[look.marker],
            linestyle=_linestyle(look.dashes),
            markersize=4,
            linewidth=1.1,
            elinewidth=0.8,
            capsize=1.5,
            label=_escape(codec),
        )
    for family in dict.fromkeys(row.family for row in table.rows if row.family):
        members = sorted((row for row in table.rows if row.family == family), key=lambda row: rate_of(row, against))
        line = [rate_of(row, against) for row in members], [row.cells[info.name].mean for row in members]
        panel.plot(*line, color="0.45", linewidth=0.9, linestyle=(0, (4, 2)), zorder=0.5, label=_escape(f"family {family}"))
    by_point = {(row.codec, row.point): row for row in table.rows}
    ranked = [codec for codec, rows in codecs.items() if rows[0].kind != "ceiling"]
    front = [by_point[point] for point in pareto_points(curves, info, against, ranked)] if not info.diagnostic else []
    if len(front) > 1:
        rates, means = [rate_of(row, against) for row in front], [row.cells[info.name].mean for row in front]
        panel.step(rates, means, where="post", color="0.75", linewidth=2.5, zorder=0, solid_capstyle="round")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(_plain)
    panel.xaxis.set_minor_formatter(_plain_minor)
    panel.set_xlabel(AXIS_LABEL[against])
    unit = f" ({info.unit})" if info.unit else ""
    arrow = "" if info.diagnostic else f" {ARROW[info.higher_is_better]}"
    panel.set_ylabel(_escape(f"{info.name}{unit}") + arrow)


def _plain(value: float, _position: Any) -> str:
    return f"{value:g}"


def _plain_minor(value: float, _position: Any) -> str:
    """2 and 5 of each decade, the rest unmarked."""
    leading = f"{value:e}"[0]
    return f"{value:g}" if leading in "25" else ""


def _linestyle(dashes: str) -> Any:
    return (0, [float(length) / 2 for length in dashes.split()]) if dashes else "-"


def _escape(text: str) -> str:
    """Names may hold a dollar sign, which would start a formula, or an underscore in front, which would hide them from the legend."""
    escaped = text.replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped
