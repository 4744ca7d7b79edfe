"""The three ways in which a run can be refused before any work is done."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake in a suite, an argument or a file; printed as it stands, exit code 2."""


class Unavailable(Exception):
    """Something needed is not on this machine; the message says how to get it, exit code 3."""


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """`metric 'peqs' unknown; did you mean 'pesq_wb'? known: ...`, for every list of names alike."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"{what} '{name}' unknown{hint} known: {', '.join(known)}"


def listed(names: Sequence[str], most: int) -> str:
    """`'a', 'b' and 7 more`: the first `most` of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
