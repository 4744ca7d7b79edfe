"""Static figures for papers: each metric against bitrate, token rate or frame rate, as SVG, PDF and PNG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis.comparison import AGAINST, Curves, dropped_points, pareto_points
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
DPI = 200  # of PNG
WIDTH, HEIGHT = 3.4, 2.5  # inches, of a panel with its labels: a column of a two-column paper
LEFT, RIGHT, TOP, BOTTOM = 0.62, 0.06, 0.08, 0.42  # inches around a panel
RC: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def rate_of(row: Row, against: str) -> float:
    """In the unit of the axis: kbit/s, tokens a second, Hz."""
    rate = float(getattr(row.rates, against))
    return rate / 1000 if against == "bitrate" else rate


def plot_metrics(table: Table, curves: Curves, metrics: Mapping[str, MetricInfo], against: str) -> Figure:
    """A panel a metric, two a row, with one legend above: 95 % intervals, the Pareto front as a grey step, the reference dotted.

    At most MAX_PANELS metrics; of more than MAX_CODECS codecs, those that are `most_on_front` are named. Margins are fixed: to have
    matplotlib find them would take as long as three drawings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    metrics = dict(list(metrics.items())[:MAX_PANELS])
    kinds = {row.codec: row.kind for row in table.rows}
    style = looks({codec: kinds[codec] for codec in most_on_front(curves, metrics, against, kinds)})
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    with mpl.rc_context({**RC, "font.family": fonts_for("".join([*kinds, *(row.family for row in table.rows), *metrics]))}):
        figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows))
        panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for panel, info in zip(panels, metrics.values(), strict=False):
            _draw(panel, table, curves, info, against, style)
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        _arrange(figure, handles, labels, rows, columns)
    return figure


def _arrange(figure: Figure, handles: Sequence[Any], labels: Sequence[str], rows: int, columns: int) -> None:
    """The legend above, in as many columns as its names allow, then the panels."""
    width = WIDTH * columns
    longest = max(map(len, labels), default=0)
    beside = max(1, min(2 * columns, int(width / (0.6 + 0.065 * longest))))
    above = 0.17 * -(-len(labels) // beside) + 0.1
    height = HEIGHT * rows + above
    figure.set_size_inches(width, height)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    edges = {"left": LEFT / width, "right": 1 - RIGHT / width, "bottom": BOTTOM / height, "top": 1 - (above + TOP) / height}
    figure.subplots_adjust(**edges, wspace=(LEFT + RIGHT) / wide, hspace=(TOP + BOTTOM) / high)
    if labels:
        figure.legend(handles, labels, loc="upper center", ncols=beside, handlelength=2.5, borderaxespad=0.2)


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with disk_errors(folder / name), mpl.rc_context({**RC, "svg.hashsalt": name}):
        folder.mkdir(parents=True, exist_ok=True)
        # By the canvas, not savefig(), which draws everything once more to find out what does not change.
        FigureCanvasSVG(figure).print_svg(folder / f"{name}.svg", metadata={"Date": None})
        FigureCanvasPdf(figure).print_pdf(folder / f"{name}.pdf", metadata={"CreationDate": None})
        figure.set_dpi(DPI)
        FigureCanvasAgg(figure).print_png(folder / f"{name}.png", pil_kwargs={"compress_level": 1})


def remove(folder: Path, name: str) -> None:
    """What `save` of an earlier report left."""
    for suffix in ("svg", "pdf", "png"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def _draw(panel: Axes, table: Table, curves: Curves, info: MetricInfo, against: str, style: Mapping[str, Look]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

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
        left_out = () if info.diagnostic else dropped_points(curves, info, against, family)  # as in averages over the curve
        members = [row for row in table.rows if row.family == family and (row.codec, row.point) not in left_out]
        members.sort(key=lambda row: rate_of(row, against))
        line = [rate_of(row, against) for row in members], [row.cells[info.name].mean for row in members]
        panel.plot(*line, color="0.45", linewidth=0.9, linestyle=(0, (4, 2)), zorder=0.5, label=_escape(f"family {family}"))
    by_point = {(row.codec, row.point): row for row in table.rows}
    ranked = [codec for codec, rows in codecs.items() if rows[0].kind != "ceiling"]
    front = [by_point[point] for point in pareto_points(curves, info, against, ranked)] if not info.diagnostic else []
    if len(front) > 1:
        rates, means = [rate_of(row, against) for row in front], [row.cells[info.name].mean for row in front]
        panel.step(rates, means, where="post", color="0.75", linewidth=2.5, zorder=0, solid_capstyle="round")
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(_plain)
    panel.set_xlabel(AXIS_LABEL[against])
    unit = f" ({info.unit})" if info.unit else ""
    arrow = "" if info.diagnostic else f" {ARROW[info.higher_is_better]}"
    panel.set_ylabel(_escape(f"{info.name}{unit}") + arrow)


def _plain(value: float, _position: Any) -> str:
    return f"{value:g}"


def _linestyle(dashes: str) -> Any:
    return (0, [float(length) / 2 for length in dashes.split()]) if dashes else "-"


def fonts_for(text: str) -> list[str]:
    """matplotlib's own font, then installed ones for the characters of `text` that it lacks, those first that have most of them."""
    from matplotlib.font_manager import fontManager

    names = ["DejaVu Sans"]
    missing = set() if text.isascii() else {*map(ord, text)} - _characters(names[0])
    others = {font.name for font in fontManager.ttflist if not font.name.startswith("Last Resort")}  # whose glyphs name a script
    having = {name: missing & _characters(name) for name in sorted(others) if missing}
    while missing and (name := max(having, key=lambda name: len(having[name] & missing))) and having[name] & missing:
        names.append(name)
        missing -= having[name]
    return names


def _characters(name: str) -> set[int]:
    """Code points for which a font has a glyph."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    return {*get_font(fontManager.findfont(FontProperties(name))).get_charmap()}


def _escape(text: str) -> str:
    """`text` as a figure can show it: what no installed font has, by its code point.

    Names may hold a dollar sign, which would start a formula, or an underscore in front, which would hide them from the legend.
    """
    import matplotlib as mpl

    if not text.isascii():
        known = set().union(*map(_characters, mpl.rcParams["font.family"]))
        text = "".join(character if ord(character) in known else f"U+{ord(character):04X} " for character in text).strip()
    escaped = text.replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped
