"""One colour and one marker for each codec, the same in every figure and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Ten hues of even lightness, apart for the colour-blind in this order, legible on white and on near-black.
COLOURS = ("#3274c4", "#d9661f", "#2b9a68", "#b3478f", "#8468c9", "#a8841a", "#2f9db0", "#cc4750", "#6d7f91", "#8d6b4b")
MARKERS = {"fixed": "circle", "dynamic": "diamond", "classical": "square", "recordings": "triangle", "ceiling": "cross"}
DASHES = {"fixed": "6 4", "dynamic": "", "classical": "2 3", "recordings": "8 3 2 3", "ceiling": "1 4"}  # SVG; on, off


@dataclass(frozen=True)
class Look:
    colour: str
    marker: str
    dashes: str


def looks(kinds: Mapping[str, str], alike: Mapping[str, str] | None = None) -> dict[str, Look]:
    """codec label -> how it is drawn; the kind sets marker and line, so that fixed and dynamic are told apart without colour.

    alike   codec label -> what it shares with others, a family: of more codecs than there are colours, those have one colour;
            where there are too many of these, each kind has one
    """
    numbered: Sequence[str] = [codec for codec, kind in kinds.items() if kind != "ceiling"]
    sharing = {codec: codec for codec in numbered}
    for common in (alike or {}, kinds):
        if common and len(set(sharing.values())) > len(COLOURS):
            sharing = {codec: common[codec] for codec in numbered}
    order = list(dict.fromkeys(sharing.values()))
    colours = {codec: COLOURS[order.index(common) % len(COLOURS)] for codec, common in sharing.items()}
    return {codec: Look(colours.get(codec, "#777777"), MARKERS[kind], DASHES[kind]) for codec, kind in kinds.items()}
