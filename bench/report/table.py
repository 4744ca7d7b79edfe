"""Table -> text for the terminal, Markdown, CSV and LaTeX: one layout, four ways to write it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.analysis.grid import HALLUCINATION
from bench.analysis.stats import MIN_CLUSTERS, MIN_RESAMPLED
from bench.analysis.summary import Cell, Row, Table
from bench.record import MetricInfo

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

ARROW = {True: "↑", False: "↓"}
MISSING = "–"
LATEX_WIDTH, LATEX_ROWS = 84, 45  # characters of \footnotesize and lines that a page of the class article holds
_SHOWN_REASONS = 3
SKEWED = 0.2  # of the shorter half: an interval more uneven than that is shown by its bounds


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a printed table, in parts that each format sets in its own way."""

    text: str
    spread: str = ""  # the 95 % interval, as `spread_text` sets it
    note: str = ""  # n and failures, where they differ from the column's
    mark: str = ""


@dataclass(frozen=True)
class Layout:
    """A table as printed: `heads` and every row have the same length; the first `keys` columns name the row."""

    heads: tuple[str, ...]
    body: tuple[tuple[Entry, ...], ...]
    keys: int
    notes: tuple[str, ...]


def decimals(cells: Iterable[Cell]) -> int:
    """Of a metric's means."""
    return usual_decimals(half_width(cell) for cell in cells)


def usual_decimals(half_widths: Iterable[float]) -> int:
    """Decimals at which the usual interval shows two digits, of the half-widths that are known."""
    halves = sorted(half for half in half_widths if 0 < half < math.inf)
    typical = halves[len(halves) // 2] if halves else 0.01
    return min(4, max(0, 1 - math.floor(math.log10(typical))))


def difference_decimals(half_widths: Iterable[float]) -> int:
    """Of differences, of the half-widths of their intervals: one more than of values."""
    return usual_decimals(half_widths) + 1


def half_width(cell: Cell) -> float:
    """Half of the 95 % interval, NaN where there is none."""
    return (cell.high - cell.low) / 2


def spread_text(mean: float, low: float, high: float, places: int, show: Callable[[float, int], str] | None = None) -> str:
    """An interval around `mean`: `±0.12`, or `[0.10, 0.43]` where one half is longer than the other by more than SKEWED; "" without one.

    show   how bounds are written, `signed` for differences
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    below, above = mean - low, high - mean
    if max(below, above) <= (1 + SKEWED) * min(below, above):
        return f"±{number((high - low) / 2, places)}"
    show = show or number
    return f"[{show(low, places)}, {show(high, places)}]"


def number(value: float, places: int) -> str:
    """`value` at so many decimals, without a minus before zero."""
    return MISSING if not math.isfinite(value) else f"{round(value, places) + 0.0:.{places}f}"


def signed(value: float, places: int) -> str:
    """A difference: with a plus where it is above zero."""
    return ("+" if value > 0 else "") + number(value, places)


def with_minus(text: str) -> str:
    """Numbers as the page prints them: with the minus sign, where files and terminals have a hyphen."""
    return re.sub(r"-(?=\d)", "−", text)


def interval(low: float, high: float, places: int) -> str:
    """` (-0.20 to +0.35)`, of a difference; nothing where there is none."""
    return f" ({signed(low, places)} to {signed(high, places)})" if math.isfinite(low) else ""


def kbps(bitrate: float) -> str:
    """bit/s as kbit/s with three digits."""
    return MISSING if not math.isfinite(bitrate) else _three_digits(bitrate / 1000)


def hertz(nominal: float, measured: float) -> str:
    """`40 / 38.7`, nominal before measured; one number where they agree or only one is known."""
    shown = [_three_digits(rate) for rate in (nominal, measured) if math.isfinite(rate) and rate > 0]
    return " / ".join(dict.fromkeys(shown)) or MISSING


def _three_digits(value: float) -> str:
    """1.14, 48, 8000: three digits, and those of a whole number, without an exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def head(info: MetricInfo) -> str:
    """`wer_pocketsphinx ↓ %`; diagnostics rank nothing and have no arrow."""
    return " ".join(part for part in (info.name, "" if info.diagnostic else ARROW[info.higher_is_better], info.unit) if part)


def lay_out(table: Table) -> Layout:
    """The columns that all printed tables share: names, rates, then a column a metric."""
    heads = [*table.by, "codec", "point", "n", "Hz", "kbps", "nominal kbps"]
    columns = []
    for name, info in table.metrics.items():
        cells = [row.cells[name] for row in table.rows]
        expected = [row.utterances for row in table.rows]
        usual, rows_with_it = Counter(cell.n for cell in cells).most_common(1)[0] if cells else (0, 0)
        in_head = not table.by and 2 * rows_with_it > len(cells) and usual != max(expected)  # else it would stand in every cell
        heads.append(head(info) + (f" (n={usual})" if in_head else ""))
        places = decimals(cells)
        whole = [row.heard_whole if name == "latency_ms" else 0 for row in table.rows]
        columns.append(
            [_entry(cell, places, usual if in_head else n, heard) for cell, n, heard in zip(cells, expected, whole, strict=True)]
        )
    body = tuple(
        (
            *(Entry(row.group[name]) for name in table.by),
            Entry(row.codec),
            Entry(row.point),
            Entry(str(row.utterances)),
            _rate(hertz(row.rates.nominal_frame_rate, row.rates.frame_rate), row),
            _rate(kbps(row.rates.bitrate), row),
            _rate(kbps(row.rates.nominal_bitrate), row),
            *(column[position] for column in columns),
        )
        for position, row in enumerate(table.rows)
    )
    return Layout(tuple(heads), body, len(table.by) + 2, tuple(_notes(table)))


def _rate(text: str, row: Row) -> Entry:
    return Entry(text, note="stated" if row.is_stated and text != MISSING else "")


def _entry(cell: Cell, places: int, expected_n: int, heard_whole: int) -> Entry:
    reasons = [f"n={cell.n}"] if cell.n not in (expected_n, 0) else []
    reasons += [f"{cell.failed} failed"] if cell.failed else []
    reasons += [f"{cell.hallucinated} above {100 * HALLUCINATION:g} %"] if cell.hallucinated else []
    reasons += ["not causal" + (f" in {heard_whole} of {cell.n}" if heard_whole < cell.n else "")] if heard_whole else []
    return Entry(number(cell.mean, places), spread_text(cell.mean, cell.low, cell.high, places), ", ".join(reasons), cell.mark)


def _notes(table: Table) -> list[str]:
    cells = [(name, cell) for row in table.rows for name, cell in row.cells.items()]
    untested = list(dict.fromkeys(name for name, cell in cells if cell.mark == "untested"))
    without = list(dict.fromkeys(name for name, cell in cells if cell.n and not math.isfinite(cell.low)))
    notes = [
        f"± is half of the 95 % interval, [ ] an uneven one (bootstrap-t, resampling {_clusters(table)}; "
        f"Student's t below {MIN_RESAMPLED} of them, none below {MIN_CLUSTERS}); "
        "≈: not significantly worse than the best of the column (paired sign flips, Holm).",
        "n: utterances; a cell names its own n where some failed or do not apply. Hz: nominal / measured token frames a second. "
        "kbps: tokens and side information, counted in the packed stream; nominal: as the papers count. "
        "The original audio counts as 16-bit PCM.",
    ]
    if any(row.is_stated for row in table.rows):
        notes.append("stated: as whoever made the recordings says; not counted.")
    if off := {f"{row.codec}@{row.point}": row.length_error_s for row in table.rows if row.length_error_s}:
        told = [f"{name} {signed(1000 * seconds, 1)} ms" for name, seconds in off.items()]
        notes.append(f"Recordings of another length than their reference, the furthest off: {', '.join(told)}.")
    for name, reasons in table.reasons.items():
        notes.append(f"{name} does not apply to some utterances: {'; '.join(reasons[:_SHOWN_REASONS])}.")
    for caveat in dict.fromkeys(info.caveat for info in table.metrics.values() if info.caveat):
        names = [name for name, info in table.metrics.items() if info.caveat == caveat]
        notes.append(f"{', '.join(names)} stands last: {caveat}.")
    if untested:
        notes.append(f"No ≈ in some cells of {', '.join(untested)}: so few clusters that no test could tell them from the best.")
    if without:
        notes.append(f"No interval in some cells of {', '.join(without)}: of fewer than {MIN_CLUSTERS} speakers.")
    if any(cell.hallucinated for _, cell in cells):
        notes.append(
            f"Utterances with an error rate above {100 * HALLUCINATION:g} % are hallucinations of the recogniser; "
            "they are in the mean, and its interval takes them as given."
        )
    return notes


def _clusters(table: Table) -> str:
    """`14 speakers (wer_pocketsphinx: 15 utterances)`; a range where points or groups differ."""
    told: dict[str, list[str]] = {}
    for name in table.metrics:
        cells = [row.cells[name] for row in table.rows if row.cells[name].n]
        for clustered_by in sorted({cell.clustered_by for cell in cells}):
            counts = [cell.clusters for cell in cells if cell.clustered_by == clustered_by]
            span = str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
            told.setdefault(f"{span} {clustered_by}s", []).append(name)
    usual = max(told, key=lambda text: len(told[text]), default="utterances")
    others = "; ".join(f"{', '.join(names)}: {text}" for text, names in told.items() if text != usual)
    return usual + (f" ({others})" if others else "")


def render_terminal(table: Table, width: int) -> Group:
    """For a rich console of `width` characters."""
    from rich.console import Group
    from rich.text import Text

    styles = {"best": "bold green", "tied": "green", "untested": "", "": ""}
    layout = lay_out(table)

    def text(entry: Entry) -> Text:
        rendered = Text(entry.text, style=styles[entry.mark])
        rendered.append(" ≈" if entry.mark == "tied" else "", style="dim")
        rendered.append(f" {entry.spread}" if entry.spread else "", style="dim")
        rendered.append(f" ({entry.note})" if entry.note else "", style="yellow")
        return rendered

    body = [[text(entry) for entry in row] for row in layout.body]
    ends = [row + 1 for row in range(len(body) - 1) if table.rows[row + 1].group != table.rows[row].group]
    return Group(*terminal_tables(layout.heads, body, layout.keys, width, ends), *(Text(note, style="dim") for note in layout.notes))


def terminal_tables(
    heads: Sequence[str], body: Sequence[Sequence[Text]], keys: int, width: int, ends: Sequence[int] = ()
) -> list[RichTable]:
    """One table, or several where `width` asks for it: each has the first `keys` columns, then as many others as fit, one at least.

    ends   numbers of rows before which a line is drawn
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    widths = [max([len(title), *(row[column].cell_len for row in body)]) + 3 for column, title in enumerate(heads)]
    tables = []
    for columns in _blocks(widths, keys, width):
        table = RichTable(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(Text(heads[column]), justify="left" if column < keys else "right", overflow="fold")
        for number, row in enumerate(body):
            table.add_row(*(row[column] for column in columns), end_section=number + 1 in ends)
        tables.append(table)
    return tables


def _blocks(widths: Sequence[float], keys: int, width: float) -> list[list[int]]:
    """Numbers of the columns of each part of a table: the first `keys`, then as many others as `width` allows, one at least."""
    blocks = [list(range(keys))]
    for column in range(keys, len(widths)):
        if sum(widths[chosen] for chosen in blocks[-1]) + widths[column] >= width and len(blocks[-1]) > keys:
            blocks.append(list(range(keys)))
        blocks[-1].append(column)
    return blocks


def render_markdown(table: Table) -> str:
    layout = lay_out(table)

    def text(entry: Entry) -> str:
        shown = f"**{escape_markdown(entry.text)}**" if entry.mark == "best" else escape_markdown(entry.text)
        shown += " ≈" if entry.mark == "tied" else ""
        shown += f" {escape_markdown(entry.spread)}" if entry.spread else ""
        return shown + (f" ({entry.note})" if entry.note else "")

    rules = ["---" if column < layout.keys else "---:" for column in range(len(layout.heads))]
    lines = [[escape_markdown(title) for title in layout.heads], rules, *([text(entry) for entry in row] for row in layout.body)]
    return markdown_table(lines) + "\n" + "\n".join(f"{note}  " for note in layout.notes) + "\n"


def markdown_table(lines: Iterable[Iterable[str]]) -> str:
    """Of the head, the rule and the rows, each cell already escaped."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escape_markdown(text: str) -> str:
    return _replace(text, {"\\": "\\\\", "|": "\\|", "<": "&lt;", "*": "\\*", "_": "\\_", "`": "\\`", "[": "\\[", "\n": " "})


def render_latex(table: Table) -> str:
    """A booktabs `tabular`, best in bold, ready to \\input, or several, one below another, that fit a page each; needs booktabs."""
    layout = lay_out(table)

    def text(entry: Entry) -> str:
        shown = f"\\textbf{{{_latex(entry.text)}}}" if entry.mark == "best" else _latex(entry.text)
        shown += "$^{\\approx}$" if entry.mark == "tied" else ""
        shown += f" {{\\scriptsize {_latex(entry.spread)}}}" if entry.spread else ""
        return shown + (f" {{\\scriptsize ({_latex(entry.note)})}}" if entry.note else "")

    def length(entry: Entry) -> float:
        return len(entry.text) + 2 * (entry.mark == "tied") + 0.8 * sum(len(part) + 2 for part in (entry.spread, entry.note) if part)

    widths = [max([len(head), *(length(row[column]) for row in layout.body)]) + 3 for column, head in enumerate(layout.heads)]
    blocks = _blocks(widths, layout.keys, LATEX_WIDTH)
    parts = [(first, columns) for first in range(0, max(1, len(layout.body)), LATEX_ROWS) for columns in blocks]
    needs = "needs \\usepackage{booktabs}"
    if len(parts) > 1:
        needs += f"; {len(parts)} parts, in \\footnotesize, each of which fits a page: keep those columns that you need"
    lines = [f"% {note}" for note in (needs, *layout.notes)]
    for number, (first, columns) in enumerate(parts):
        lines += ["", "\\bigskip", ""] if number else []
        lines += ["{\\footnotesize"] if len(parts) > 1 else []
        lines += [f"\\begin{{tabular}}{{{'l' * layout.keys}{'r' * (len(columns) - layout.keys)}}}", "\\toprule"]
        lines += [" & ".join(_latex(layout.heads[column]) for column in columns) + " \\\\", "\\midrule"]
        for position, row in list(enumerate(layout.body))[first : first + LATEX_ROWS]:
            if position > first and table.rows[position].group != table.rows[position - 1].group:
                lines.append("\\midrule")
            lines.append(" & ".join(text(row[column]) for column in columns) + " \\\\")
        lines += ["\\bottomrule", "\\end{tabular}" + ("}" if len(parts) > 1 else "")]
    return "\n".join(lines) + "\n"


LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "[": "{[}",  # at the start of a row it would be an argument of the row's end before
    "*": "{*}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "±": "$\\pm$",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    MISSING: "--",
    "\n": " ",
}


def _latex(text: str) -> str:
    return _replace(text, LATEX)


def _replace(text: str, replacements: dict[str, str]) -> str:
    return "".join(replacements.get(character, character) for character in text)


def render_csv(table: Table) -> str:
    """Everything a Table holds, unrounded: a row a point, rates in Hz and bit/s, then the fields of Cell of each metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for position, row in enumerate(table.rows):
        facts = {name: getattr(row, name) for name in ("codec", "point", "kind", "family", "utterances", "duration_s")}
        offs = {"rates_are_stated": row.is_stated, "length_error_s": row.length_error_s, "heard_whole": row.heard_whole}
        record: dict[str, object] = {**row.group, **facts, **asdict(row.rates), **offs}
        for metric, cell in row.cells.items():
            record |= {metric if name == "mean" else f"{metric}:{name}": value for name, value in vars(cell).items()}
        if position == 0:
            writer.writerow(map(csv_cell, record))
        writer.writerow(map(csv_cell, record.values()))
    return out.getvalue()


def csv_cell(value: object) -> object:
    """`value` as a cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe; NaN is empty."""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which ends a line for those who read it
    return f"'{text}" if text.startswith(_BEGINS_FORMULA) and not _is_number(text) else text


_BEGINS_FORMULA = ("=", "+", "-", "@", "\t")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
