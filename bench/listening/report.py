"""The scores of a listening test as text, as JSON, and as ratings for `bench listeners`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bench.errors import UserError
from bench.files import without_nan, write_text
from bench.listening.design import Kind, needed_trials
from bench.listening.scoring import Answers, Excluded, Mean, Share, means, post_screened, shares
from bench.report.table import escape_markdown, markdown_table, number

HEADS = {
    "abx": ["A", "B", "right", "share [95 %]", "p (one-sided)", "p (Holm)"],
    "preference": [
        "first",
        "second",
        "first preferred",
        "second preferred",
        "no preference",
        "share of first [95 %]",
        "p (sign test)",
        "p (Holm)",
    ],
}


def render(answers: Answers, as_json: bool, ratings: Path | None) -> str:
    """A table and what it stands on. `ratings`: a CSV file to write of MUSHRA's scores, as `bench listeners` reads it."""
    key = answers.key
    told: dict[str, object] = {"test": key.test, "kind": key.kind, "listeners": answers.listeners}
    if ratings and key.kind != "mushra":
        raise UserError(f"--ratings: a test of kind {key.kind} has no ratings; MUSHRA has")
    if key.kind == "mushra":
        kept, excluded = post_screened(answers.frame)
        if kept.empty:
            raise UserError(f"nobody passes the post-screening: {'; '.join(map(str, excluded))}")
        if ratings:
            _write_ratings(kept, ratings)
        found = means(kept)
        told |= {"excluded": [asdict(each) for each in excluded], "systems": [asdict(each) for each in found]}
        text = _means_text(found, excluded)
    else:
        pairs = shares(answers.frame, key.kind)
        needed = needed_trials(key.effect, key.power, two_sided=key.kind == "preference").trials
        told |= {"needed_trials": needed, "pairs": [asdict(each) for each in pairs]}
        goal = f"{needed} answers to a pair were needed to find a share of {100 * key.effect:g} % with a power of {100 * key.power:g} %."
        text = f"{_shares_text(pairs, key.kind)}{answers.listeners} listeners; {goal}\n"
    return json.dumps(without_nan(told), ensure_ascii=False, indent=1) + "\n" if as_json else text


def _means_text(found: Sequence[Mean], excluded: Sequence[Excluded]) -> str:
    heads = ["system", "mean", "95 % over ratings", "95 % over listeners", "ratings"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for each in found:
        bounds = [_interval(each.low, each.high, 1), _interval(each.low_listeners, each.high_listeners, 1)]
        lines.append([escape_markdown(each.system), number(each.mean, 1), *bounds, str(each.ratings)])
    most = found[0]
    note = (
        f"{most.ratings} ratings of a system = {most.listeners} listeners x {most.items} items. Over ratings: Student's t of all of them, "
        "as ITU-R BS.1534-3 has it, which takes one listener's ratings as independent. Over listeners: Student's t of their means.\n"
    )
    left_out = "".join(f"excluded {each}\n" for each in excluded) or "Nobody was excluded by the post-screening of BS.1534-3.\n"
    return markdown_table(lines) + note + left_out


def _shares_text(pairs: Sequence[Share], kind: Kind) -> str:
    lines = [HEADS[kind], ["---", "---", *["---:"] * (len(HEADS[kind]) - 2)]]
    for each in pairs:
        counts = [f"{each.count} of {each.n}"] if kind == "abx" else [str(each.count), str(each.n - each.count), str(each.undecided)]
        share = f"{number(each.share, 2)}{_interval(each.low, each.high, 2, ' ')}"
        lines.append([escape_markdown(each.first), escape_markdown(each.second), *counts, share, f"{each.p:.3g}", f"{each.p_holm:.3g}"])
    return markdown_table(lines)


def _interval(low: float, high: float, places: int, before: str = "") -> str:
    return "–" if low != low else f"{before}[{number(low, places)}, {number(high, places)}]"


def _write_ratings(ratings: pd.DataFrame, path: Path) -> None:
    """Of systems alone; columns item, system, score, listener."""
    systems = ratings[ratings["system"].str.contains("@", regex=False)]
    columns = {"utterance": "item", "system": "system", "score": "score", "listener": "listener"}
    write_text(path, systems.rename(columns=columns)[list(columns.values())].to_csv(index=False, lineterminator="\n"))
