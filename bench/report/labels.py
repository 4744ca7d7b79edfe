"""Names of operating points in plain words, for the eye; the names themselves stay what is typed and saved."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:\.\d+)?)"
_PARTS = (  # of a name, between underscores
    (re.compile(rf"target{_NUMBER}hz"), "about {} Hz"),
    (re.compile(rf"fixed{_NUMBER}hz"), "fixed {} Hz"),
    (re.compile(rf"{_NUMBER}hz"), "{} Hz"),
    (re.compile(rf"{_NUMBER}kbps"), "{} kbps"),
    (re.compile(rf"{_NUMBER}bps"), "{} bit/s"),
    (re.compile(rf"threshold{_NUMBER}"), "threshold {}"),
    (re.compile(r"(?:q1|1q)"), "1 codebook"),
    (re.compile(r"q(\d+)"), "{} codebooks"),
    (re.compile(r"(\d+)q"), "{} codebooks"),
)


def point_label(name: str) -> str:
    """`target12.5hz_q8` -> `about 12.5 Hz, 8 codebooks`; words that no rule knows stay, and so does a name without any known part."""
    parts = [_part(part) for part in name.split("_")]
    return ", ".join(text for text, _ in parts) if any(known for _, known in parts) else name


def in_words(codec: str, point: str) -> str:
    """A system as a reader of the page sees it: `slime · 50 Hz`."""
    return f"{codec} · {point_label(point)}"


def _part(part: str) -> tuple[str, bool]:
    """In plain words, and whether a rule knows it."""
    for pattern, text in _PARTS:
        if found := pattern.fullmatch(part):
            return text.format(*found.groups()), True
    return part, False
