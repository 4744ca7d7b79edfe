"""BibTeX of the metrics, by key, from citations.bib."""

from __future__ import annotations

from pathlib import Path

_ENTRIES = {
    entry[entry.index("{") + 1 : entry.index(",")]: entry.strip()
    for entry in Path(__file__).with_name("citations.bib").read_text(encoding="utf-8").split("\n\n")
}


def cite(key: str) -> str:
    """The BibTeX entry; KeyError where citations.bib has none of that key."""
    return _ENTRIES[key]
