"""Regression -> text for the terminal, Markdown, JSON and JUnit XML; pure functions."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from bench.analysis.verdicts import Check, Regression, Utterance, Verdict
from bench.report.table import ARROW, MISSING, number

if TYPE_CHECKING:
    from rich.console import Group

ORDER: tuple[Verdict, ...] = ("worse", "undecided", "improved", "same")  # as printed
SHOWN = 20  # checks in the short table; those that are the same go first where there are more
_STYLES = {"worse": "bold red", "undecided": "yellow", "improved": "green", "same": ""}


def headline(regression: Regression) -> str:
    """`codecslime: worse in mel_dac_train at 40hz; 1 undecided, 5 same`."""
    counts = {verdict: regression.having(verdict) for verdict in ORDER}
    found = f"worse in {', '.join(f'{check.metric} at {check.point}' for check in counts['worse'])}" if counts["worse"] else "not worse"
    others = ", ".join(f"{len(counts[verdict])} {verdict}" for verdict in ORDER[1:] if counts[verdict])
    return f"{regression.codec}: {found}" + (f"; {others}" if others else "")


def explanation(regression: Regression) -> str:
    over = f"{regression.clusters} {regression.clustered_by}s"
    return (
        f"change: candidate less baseline, with bounds at {100 * (1 - regression.alpha):g} % on each side (Student's t over {over}); "
        f"verdicts at {100 * regression.alpha:g} % after Holm over {len(regression.checks)} checks. "
        "worse: a loss is shown, and the estimate exceeds the margin; same: a loss of the margin is excluded."
    )


def render_terminal(regression: Regression) -> Group:
    """For a rich console."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    heads, rows, rest = _checks(regression)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column, head in enumerate(heads):
        table.add_column(head, justify="left" if column < 2 or head == "verdict" else "right")
    for check, row in rows:
        table.add_row(*(Text(text) for text in row[:-1]), Text(row[-1], style=_STYLES[check.verdict]))
    parts: list[Any] = [table, Text(rest)] if rest else [table]
    if regression.worst and len(regression.having("same")) < len(regression.checks):
        worst = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for head in ("worst utterance", *_WORST_HEADS[1:]):
            worst.add_column(head, overflow="fold")
        for utterance in regression.worst:
            worst.add_row(*(Text(text) for text in _worst_row(utterance, [utterance.candidate_audio])))
        parts.append(worst)
    parts += [Text(note, style="dim") for note in (*regression.notes, explanation(regression))]
    return Group(*parts, Text(headline(regression), style="bold red" if regression.having("worse") else "bold"))


def render_markdown(regression: Regression, suite: str) -> str:
    """For the summary of a GitHub step."""
    heads, rows, rest = _checks(regression)
    mark = "❌" if regression.having("worse") else "⚠️" if regression.having("undecided") else "✅"
    lines = [f"### {mark} {_cell(suite)}: {_cell(headline(regression))}", ""]
    bold = [[*row[:-1], f"**{row[-1]}**" if check.verdict == "worse" else row[-1]] for check, row in rows]
    lines += _markdown_table(heads, bold) + ([rest, ""] if rest else [])
    if regression.worst:
        lines += ["<details><summary>Worst utterances</summary>", ""]
        lines += [*_markdown_table(_WORST_HEADS, [_worst_row(each, _audio(each)) for each in regression.worst]), "</details>", ""]
    return "\n".join([*lines, *(f"{_cell(note)}  " for note in (*regression.notes, explanation(regression)))]) + "\n"


def render_json(regression: Regression, strict: bool) -> str:
    """Everything; NaN becomes null."""
    content = {"passed": regression.passed(strict), "strict": strict, "headline": headline(regression), **dataclasses.asdict(regression)}
    return json.dumps(_without_nan(content), ensure_ascii=False, indent=1) + "\n"


def render_junit(regression: Regression, suite: str, strict: bool) -> str:
    """One test case a check: worse fails, undecided is skipped (`strict`: fails too)."""
    failed = regression.failing(strict)
    skipped = [check for check in regression.checks if check.verdict == "undecided" and check not in failed]
    counts = {"tests": str(len(regression.checks)), "failures": str(len(failed)), "errors": "0", "skipped": str(len(skipped))}
    root = ElementTree.Element("testsuites", counts)
    cases = ElementTree.SubElement(root, "testsuite", {"name": f"bench regress {suite}", **counts})
    for check in regression.checks:
        case = ElementTree.SubElement(cases, "testcase", {"classname": f"{suite}.{regression.codec}@{check.point}", "name": check.metric})
        if check in failed or check in skipped:
            ElementTree.SubElement(case, "failure" if check in failed else "skipped", {"message": sentence(check)})
        else:
            ElementTree.SubElement(case, "system-out").text = sentence(check)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def sentence(check: Check) -> str:
    """What one check found, in one line."""
    told = _cells(check)
    text = f"{told['verdict']}: {told['metric']} {told['baseline']} -> {told['candidate']}, change {told['change']}"
    text += f", margin {told['margin']}, n {told['n']}"
    return text + (f"; {told['at equal bits']} at equal bits" if check.equal_bits else "")


def _checks(regression: Regression) -> tuple[list[str], list[tuple[Check, list[str]]], str]:
    """Heads, rows and a line on the rows left out, the most important first."""
    ordered = sorted(regression.checks, key=lambda check: ORDER.index(check.verdict))
    shown = ordered[: max(SHOWN, sum(check.verdict != "same" for check in ordered))]
    heads = ["point", "metric", "baseline", "candidate", "change", "margin", "n", "at equal bits", "verdict"]
    if not any(check.equal_bits for check in shown):
        heads.remove("at equal bits")
    rest = f"and {len(ordered) - len(shown)} more: same" if len(shown) < len(ordered) else ""
    return heads, [(check, [_cells(check)[head] for head in heads]) for check in shown], rest


def _cells(check: Check) -> dict[str, str]:
    """Column -> text."""
    places = _places(check.margin)
    verdict: str = check.verdict
    if verdict == "undecided" and check.needed is None:
        verdict += " (the loss is just the margin)"
    elif verdict == "undecided":
        verdict += f" (n = {check.needed} would decide)" if math.isfinite(check.low) else f" (a test takes n = {check.needed})"
    if check.failed:
        verdict += f" ({check.failed} failed)"
    equal = check.equal_bits
    return {
        "point": check.point,
        "metric": " ".join(part for part in (check.metric, ARROW[check.higher_is_better], check.unit) if part),
        "baseline": number(check.baseline, places),
        "candidate": number(check.candidate, places),
        "change": _interval(check.change, check.low, check.high, places + 1),
        "margin": number(check.margin, places),
        "n": str(check.n),
        "at equal bits": _interval(equal.change, equal.low, equal.high, places + 1) if equal else MISSING,
        "verdict": verdict,
    }


def _places(margin: float) -> int:
    """Decimals at which the margin shows two digits."""
    return min(5, max(0, 1 - math.floor(math.log10(margin)))) if math.isfinite(margin) and margin > 0 else 3


def _interval(change: float, low: float, high: float, places: int) -> str:
    bounds = f" [{number(low, places)}, {number(high, places)}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{'+' if change > 0 else ''}{number(change, places)}{bounds}"


_WORST_HEADS = ["utterance", "point", "metric", "baseline", "candidate", "audio"]


def _worst_row(utterance: Utterance, audio: Sequence[str]) -> list[str]:
    candidate = utterance.reason or f"{utterance.candidate:.4g}"
    here = Path.cwd()
    files = [str(file.relative_to(here) if file.is_relative_to(here) else file) for file in map(Path, audio)]
    place = f"{utterance.dataset}/{utterance.utterance}"
    return [place, utterance.point, utterance.metric, f"{utterance.baseline:.4g}", candidate, "  ".join(files)]


def _audio(utterance: Utterance) -> list[str]:
    return [name for name in (utterance.candidate_audio, utterance.baseline_audio, utterance.reference_audio) if name]


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([_cell(text) for text in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
