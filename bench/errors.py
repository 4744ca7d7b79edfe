"""The three ways in which a run can be refused before any work is done."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

_ABOUT = 0.15  # of likeness, 0 to 1: two names that differ by less are about as near


class UserError(Exception):
    """A mistake in a suite, an argument or a file; printed as it stands, exit code 2."""


class Unavailable(Exception):
    """Something needed is not on this machine; the message says how to get it, exit code 3."""


def unknown(what: str, name: str, choices: Iterable[str], here: Callable[[str], bool] | None = None) -> str:
    """`metric 'peqs' unknown; did you mean 'pesq_wb'? known: ...`, for every list of names alike.

    here   whether a choice can be used on this machine: of two that are about as near, one that can is named
    """
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if here is not None and near:
        least = _likeness(name, near[0]) - _ABOUT
        near = [each for each in near if _likeness(name, each) >= least and here(each)] or near
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"{what} '{name}' unknown{hint} known: {', '.join(known) or 'none'}"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


def headline(text: str) -> str:
    """The first line of a message, and the next where it ends with a colon: load_state_dict() names there what is missing."""
    lines = text.strip().splitlines() or [""]
    return f"{lines[0]} {lines[1].strip()}" if len(lines) > 1 and lines[0].endswith(":") else lines[0]


def listed(names: Sequence[str], most: int) -> str:
    """`'a', 'b' and 7 more`: the first `most` of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
