"""Operating points by their settings: what a suite's `sweep:` asks of a codec whose choices are listed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.codec import OperatingPoint
from bench.errors import unknown


def pick(points: Mapping[str, OperatingPoint], settings: Mapping[str, float | str]) -> OperatingPoint:
    """The only point that agrees with `settings` (frame_rate, n_q or options); ValueError names the setting and the choices."""
    fitting = list(points.values())
    for name, value in settings.items():
        choices = sorted({_setting(point, name) for point in fitting})
        fitting = [point for point in fitting if not isinstance(value, str) and math.isclose(_setting(point, name), value, rel_tol=2e-3)]
        if not fitting:
            raise ValueError(f"{name} {value} is not a choice; {name} is one of {', '.join(f'{choice:g}' for choice in choices)}")
    if len(fitting) > 1:
        raise ValueError(f"{len(fitting)} points have these settings: {', '.join(point.name for point in fitting)}")
    return fitting[0]


def residual_points(frame_rate: float, *numbers: int) -> dict[str, OperatingPoint]:
    """Points of a residual quantiser by their number of codebooks: "1q", "2q" ..."""
    return {f"{n_q}q": OperatingPoint(f"{n_q}q", frame_rate, n_q) for n_q in numbers}


def _setting(point: OperatingPoint, name: str) -> float:
    known = {"frame_rate": point.frame_rate, "n_q": point.n_q, **point.options}
    if name not in known:
        raise ValueError(unknown("setting", name, known))
    return float(known[name])
