"""The verdict at equal bits and equal tokens -> text for the terminal, Markdown, CSV and JSON; pure functions."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.equal_bits import AGAINST, ALPHA, TWIN, Finding, Verdict, equal_bits
from bench.record import MetricInfo
from bench.report.labels import in_words
from bench.report.merge import Merged
from bench.report.table import (
    csv_cell,
    difference_decimals,
    escape_markdown,
    head,
    kbps,
    markdown_table,
    signed,
    spread_text,
    terminal_tables,
    with_minus,
)

if TYPE_CHECKING:
    from rich.console import Group

TITLE = "Dynamic against fixed frame rates"
CSV = "verdict.csv"  # in a run's folder
SHOWN_AGAINST = {"bitrate": "equal bits", "token_rate": "equal tokens"}
SPENT = {"bitrate": "bits", "token_rate": "tokens"}
NAMED = 3  # metrics that have another counterpart than most: of more, their number is shown
_STYLES = {"better": "green", "same": "", "worse": "red", "undecided": "dim", "no verdict": "dim"}


def verdict_of(merged: Merged) -> Verdict:
    """The dynamic points of runs against their fixed families, by the margins of the first one's suite."""
    margins = (merged.runs[0]["suite"].get("regress") or {}).get("margins") or {}
    return equal_bits(merged.records, merged.metrics, margins=margins, order=list(merged.points), seed=merged.seed)


def render_terminal(verdict: Verdict, metrics: Mapping[str, MetricInfo], width: int) -> Group:
    """A row a dynamic point and rate, a column a metric, for a rich console of `width` characters."""
    from rich.console import Group
    from rich.text import Text

    if verdict.note:
        return Group(Text(f"{TITLE}: {verdict.note}", style="dim"))
    heads, body = _cells(verdict, metrics)
    rows = [[*map(Text, keys), *(Text(text, style=_STYLES[each.word]) for text, each in cells)] for keys, cells in body]
    parts: list[Any] = [Text(f"{TITLE}: {headline(verdict)}", style="bold"), *terminal_tables(heads, rows, 4, width)]
    return Group(*parts, *(Text(note, style="dim") for note in notes(verdict)))


def render_brief(verdict: Verdict) -> Group:
    """For the end of a run: of each dynamic point and rate what is better, worse and the same, at any width."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    if verdict.note:
        return Group(Text(f"{TITLE}: {verdict.note}", style="dim"))
    places = _places(verdict)
    parts: list[Any] = [Text(f"{TITLE}: {headline(verdict)}", style="bold")]
    for against in AGAINST:
        parts.append(Text(f"\nAt {SHOWN_AGAINST[against]}", style="bold"))
        for found in _rows(verdict):
            one = next(iter(found.values()))
            if one.against != against:
                continue
            parts.append(Text(f"{one.codec}@{one.point}, {_rate(one.rate, against)}, against {counterparts(found.values())}"))
            told = Text()
            for word in _STYLES:
                names = [name for name, each in found.items() if each.word == word]
                numbers = word in {"better", "worse"}
                shown = [f"{name} {_numbers(found[name], places[name])}" if numbers else name for name in names]
                if names:
                    told.append(f"{'; ' if told else ''}{word}: ").append(", ".join(shown), style=_STYLES[word])
            parts.append(Padding(told, (0, 0, 0, 4)))
    parts.append(Text(f"\nDynamic less fixed, with 95 % intervals and p after Holm; all of it: {CSV}, bench compare", style="dim"))
    return Group(*parts)


def render_markdown(verdict: Verdict, metrics: Mapping[str, MetricInfo]) -> str:
    """A section to stand below the table of means."""
    if verdict.note:
        return f"\n## {TITLE}\n\n{escape_markdown(verdict.note)}\n"
    heads, body = _cells(verdict, metrics)
    bold = {"better", "worse"}
    rows = [
        [*map(escape_markdown, keys), *(f"**{escape_markdown(t)}**" if each.word in bold else escape_markdown(t) for t, each in cells)]
        for keys, cells in body
    ]
    table = markdown_table([list(map(escape_markdown, heads)), ["---"] * len(heads), *rows])
    lines = "\n".join(f"{escape_markdown(note)}  " for note in notes(verdict))
    return f"\n## {TITLE}\n\n{escape_markdown(headline(verdict))}\n\n{table}\n{lines}\n"


def render_csv(verdict: Verdict) -> str:
    """A row a finding, unrounded: the fields of Finding, rates in bit/s and Hz, the fixed points as CODEC@POINT."""
    out = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Finding)]
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    for finding in verdict.findings:
        row = {name: getattr(finding, name) for name in fields}
        row |= {name: " ".join(map("@".join, getattr(finding, name))) for name in ("points", "passed_over")}
        row["rates"] = " ".join(map(str, finding.rates))
        writer.writerow({name: csv_cell(value) for name, value in row.items()})
    return out.getvalue()


def as_data(verdict: Verdict) -> dict[str, Any]:
    """Everything, for JSON; points as CODEC@POINT; NaN where there is nothing."""
    findings = [
        {**dataclasses.asdict(each), **{name: list(map("@".join, getattr(each, name))) for name in ("points", "passed_over")}}
        for each in verdict.findings
    ]
    families = {name: list(codecs) for name, codecs in (verdict.families or {}).items()}
    return {"findings": findings, "families": families, "resampled": verdict.resampled, "note": verdict.note}


def page_data(verdict: Verdict, metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    """What the page shows of it, as text: `rows` hold CODEC@POINT, the rate, the fixed counterpart, and of each metric word and numbers.

    `fixed` is in words, `typed` with names as they are typed. A cell has a third text where its counterpart is not the row's first.
    """
    if verdict.note:
        return {"sentence": "", "note": verdict.note, "metrics": [], "rows": [], "notes": []}
    heads, body = _cells(verdict, metrics)
    places = _places(verdict)
    rows: list[dict[str, Any]] = []
    for keys, cells in body:
        found = [each for _, each in cells]
        first = _by_counterpart(found)[0][0]
        rows.append(dict(zip(("name", "at", "rate", "typed"), keys, strict=True)))
        rows[-1]["fixed"] = counterparts(found, in_words)
        rows[-1]["cells"] = [
            [each.word, with_minus(_numbers(each, places[each.metric])) if each.how else ""]
            + [f"against {_counterpart(each, in_words)}"] * (bool(each.how) and _key(each) != _key(first))
            for each in found
        ]
    return {"sentence": sentence(verdict), "note": "", "metrics": heads[4:], "rows": rows, "notes": notes(verdict, in_words)}


def sentence(verdict: Verdict) -> str:
    """The answer to the question in plain English."""
    words = [each.word for each in verdict.findings if each.against == AGAINST[0] and each.word != "no verdict"]
    if not words:
        return "At equal bits, dynamic and fixed frame rates cannot be compared on these data."
    better, worse, same, undecided = (words.count(word) for word in ("better", "worse", "same", "undecided"))
    if undecided == len(words):
        return f"At equal bits, these data do not tell dynamic frame rates from fixed ones: all {undecided} comparisons are undecided."
    if not better and not worse:
        found = f"neither better nor worse than fixed ones in any of {len(words)} comparisons"
    else:
        (first, most), (second, least) = sorted([("better", better), ("worse", worse)], key=lambda each: -each[1])
        found = f"{first} than fixed ones in {most} of {len(words)} comparisons and {second} in {least or 'none'}"
    rest = [f"{count} {told}" for count, told in ((same, "the same within the margin"), (undecided, "undecided")) if count]
    return f"At equal bits, dynamic frame rates are {found}{'; ' * bool(rest)}{', '.join(rest)}."


def headline(verdict: Verdict) -> str:
    """`at equal bits 3 better, 2 worse, 7 undecided; at equal tokens ...`, of all findings."""
    parts = []
    for against in AGAINST:
        words = [each.word for each in verdict.findings if each.against == against]
        counts = ", ".join(f"{words.count(word)} {word}" for word in _STYLES if word in words)
        parts.append(f"at {SHOWN_AGAINST[against]} {counts}")
    return "; ".join(parts)


def sentences(verdict: Verdict) -> list[str]:
    """The verdict in prose: a sentence for each dynamic point, rate and fixed counterpart, with every number that it rests on."""
    places = _places(verdict)
    told = []
    for found in _rows(verdict):
        for alike in _by_counterpart(found.values()):
            one = alike[0]
            place = f"At {SHOWN_AGAINST[one.against]} ({_rate(one.rate, one.against)}), {one.codec}@{one.point}"
            if not one.how:
                these = "" if len(alike) == len(found) else f" in {', '.join(each.metric for each in alike)}"
                told.append(f"{place} has no fixed counterpart in {one.family}{these}: {one.why}.")
                continue
            clauses: dict[str, list[str]] = {clause: [] for clause in _CLAUSES}
            for each in alike:
                clauses[_clause(each)].append(f"{each.metric} ({_numbers(each, places[each.metric])})")
            said = "; ".join(f"{clause} {', '.join(names)}" for clause, names in clauses.items() if names)
            told.append(f"{place} against {'the line from ' * (one.how == 'interpolated')}{_counterpart(one)}: {said}.")
    return told


_BETTER, _WORSE, _SAME, _ALIKE = "better in", "worse in", "the same, within the margin, in", "cannot be told apart in"
_INTERVAL_ALONE = "different by the interval, but not by the test over all comparisons, in"
_TEST_ALONE = "different by the test, but not by the interval, in"
_UNTESTED = "not to be tested on so few speakers in"
_CLAUSES = (_BETTER, _WORSE, _SAME, _ALIKE, _INTERVAL_ALONE, _TEST_ALONE, _UNTESTED)


def _clause(finding: Finding) -> str:
    """What may be said: `cannot be told apart` only where the adjusted test and the interval agree on it."""
    simple = {"better": _BETTER, "worse": _WORSE, "same": _SAME}
    if finding.word in simple:
        return simple[finding.word]
    if finding.why:
        return _UNTESTED
    apart_by_interval, apart_by_test = finding.low > 0 or finding.high < 0, finding.p_holm < ALPHA
    return _INTERVAL_ALONE if apart_by_interval else _TEST_ALONE if apart_by_test else _ALIKE


def _numbers(finding: Finding, places: int) -> str:
    """`+0.0190 ±0.0145, p 0.18`."""
    spread = f" {spread_text(finding.difference, finding.low, finding.high, places, signed)}" if math.isfinite(finding.low) else ""
    return f"{signed(finding.difference, places)}{spread}" + (f", p {_p(finding.p_holm)}" if math.isfinite(finding.p_holm) else "")


def notes(verdict: Verdict, name: Callable[[str, str], str] = "{}@{}".format) -> list[str]:
    """How the table is to be read; `name` makes one of a codec and its point."""
    families = "; ".join(f"{name}: {', '.join(codecs)}" for name, codecs in (verdict.families or {}).items())
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for each in verdict.findings:
        if each.why:
            reasons.setdefault((SHOWN_AGAINST[each.against], each.why), {}).setdefault(each.metric, []).append(name(each.codec, each.point))
    names = {each.metric for each in verdict.findings}
    return [
        f"Dynamic less fixed at the same rate, with its 95 % interval (paired, Student's t over {verdict.resampled}) and p (sign flips, "
        "Holm over all). "
        f"better, worse: p below {100 * ALPHA:g} % and the interval on one side of 0; same: the interval lies within the margin of "
        f"bench regress. Fixed families {families}; a twin within {100 * TWIN:g} % of the rate, else a line over the log rate between two. "
        "In each metric, members that another beats with no more bits or tokens are passed over; above the last one left, it stands in.",
        *(
            f"At {at}, {', '.join(dict.fromkeys(point for points in found.values() for point in points))}"
            f"{'' if set(found) == names else ' in ' + ', '.join(found)}: {why}."
            for (at, why), found in reasons.items()
        ),
    ]


def _cells(verdict: Verdict, metrics: Mapping[str, MetricInfo]) -> tuple[list[str], list[tuple[list[str], list[tuple[str, Finding]]]]]:
    """Heads; then of each row its keys, and each metric's text with its finding."""
    places = _places(verdict)
    body = []
    for found in _rows(verdict):
        one = next(iter(found.values()))
        keys = [f"{one.codec}@{one.point}", SHOWN_AGAINST[one.against], _rate(one.rate, one.against), counterparts(found.values())]
        body.append((keys, [(_text(found[name], places[name]), found[name]) for name in places]))
    return ["dynamic", "at", "rate", "fixed", *(head(metrics[name]) for name in places)], body


def _rows(verdict: Verdict) -> list[dict[str, Finding]]:
    """Of each dynamic point, rate and family: metric -> finding."""
    rows: dict[tuple[str, str, str, str], dict[str, Finding]] = {}
    for each in verdict.findings:
        rows.setdefault((each.codec, each.point, each.against, each.family), {})[each.metric] = each
    return list(rows.values())


def _places(verdict: Verdict) -> dict[str, int]:
    """Metric -> decimals of its differences, in the order of the findings."""
    names = dict.fromkeys(each.metric for each in verdict.findings)
    return {name: difference_decimals((f.high - f.low) / 2 for f in verdict.findings if f.metric == name) for name in names}


def _rate(rate: float, against: str) -> str:
    if not math.isfinite(rate):
        return "no rate"
    return f"{kbps(rate)} kbps" if against == "bitrate" else f"{rate:.3g} tokens/s"


def counterparts(found: Iterable[Finding], name: Callable[[str, str], str] = "{}@{}".format) -> str:
    """What stands for the fixed family in a row: that of most metrics, then others with the names of theirs; `name` as in `notes`."""
    (first, *_), *others = _by_counterpart(found)
    parts = [_counterpart(first, name)]
    for alike in others:
        metrics = [each.metric for each in alike]
        if alike[0].how:
            parts.append(f"{', '.join(metrics) if len(metrics) <= NAMED else f'{len(metrics)} metrics'}: {_counterpart(alike[0], name)}")
    return "; ".join(parts)


def _by_counterpart(found: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of a row that stand against the same: the most first, those without a counterpart last."""
    groups: dict[Any, list[Finding]] = {}
    for each in found:
        groups.setdefault(_key(each), []).append(each)
    return sorted(groups.values(), key=lambda alike: (not alike[0].how, -len(alike)))


def _key(finding: Finding) -> tuple[Any, ...]:
    return finding.how, finding.points, finding.passed_over, finding.why if not finding.how else ""


def _counterpart(finding: Finding, name: Callable[[str, str], str] = "{}@{}".format) -> str:
    """`fixed_40@40hz`, a twin; or `fixed_20@20hz to fixed_40@40hz, passing over twin@8hz`; or `fixed_40@40hz with fewer bits, ...`."""
    if not finding.how:
        return "none at this rate"
    used, passed_over = ([name(*point) for point in points] for points in (finding.points, finding.passed_over))
    fewer = f" with fewer {SPENT[finding.against]}" if finding.how == "cheaper" else ""
    return " to ".join(used) + fewer + (f", passing over {', '.join(passed_over)}" if passed_over else "")


def _text(finding: Finding, places: int) -> str:
    if not finding.how:
        return finding.word
    return f"{_numbers(finding, places)}: {finding.word}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "<0.001"
