"""What must be on the machine before work starts: packages, weights, data, devices, and the command that gets each."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.checkpoint import find, how_to_get
from bench.errors import Unavailable, UserError

GIVE_CHECKPOINT = "--checkpoint FILE (in a suite: `checkpoint: FILE`)"  # `how` of weights that only the caller has


@dataclass(frozen=True)
class Need:
    """One thing that must be on the machine before work starts.

    how     the command or URL that gets it
    files   of weights that are here: a run records their sha256
    """

    kind: Literal["package", "weights", "data", "device"]
    name: str
    available: bool
    how: str
    size_mb: float | None = None
    licence: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Requirement:
    """A need, and who has it: ("codec", its label), ("metric", its name) or ("data set", its label)."""

    kind: str
    owner: str
    need: Need


def require(owner: str, needs: Sequence[Need]) -> None:
    """Unavailable, a line for each of `needs` that is not here, with the command that gets it; UserError where the caller gives it."""
    if any(need.how == GIVE_CHECKPOINT for need in needs):
        raise UserError(f"{owner}: needs a checkpoint: {GIVE_CHECKPOINT}")
    if lacking := [need for need in needs if not need.available]:
        raise Unavailable("\n".join(f"{owner}: {need.name} is not on this machine; get it with: {need.how}" for need in lacking))


def package(name: str, install: str, licence: str = "") -> Need:
    """A Python package by its import name, without importing it; `install` is what pip is told."""
    return Need("package", name, importlib.util.find_spec(name) is not None, f"pip install '{install}'", licence=licence)


def weights(
    owner: str, checkpoint: str, size_mb: float | None = None, licence: str = "", name: str | None = None, how: str | None = None
) -> Need:
    """A checkpoint of the codec or metric `owner`, in any form that bench.checkpoint takes.

    name, how   what is shown, where "OWNER CHECKPOINT" and the usual command are not it
    """
    found = find(checkpoint, owner)
    files = () if found is None else (found,)
    return Need("weights", name or f"{owner} {checkpoint}", bool(files), how or how_to_get(checkpoint), size_mb, licence, files)
