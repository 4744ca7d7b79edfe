"""What is shown while a run goes on: on a terminal bars of each stage with point, rate and time left, else now and then a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

LINES_APART_S, LINES_APART = 60.0, 0.1  # of two lines in a pipe: seconds, and share of the run; what is rarer counts


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} utterances/s" if task.speed else "")


class RunProgress:
    """Two bars over utterances x points, an utterance at a point being one, and a line for each point as it is done.

    In a pipe or file a line of what is planned, and now and then one of what is done.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[place]}", markup=False),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._console = console
        self._clock = clock
        self._stages: dict[str, TaskID] = {}
        self._done = {"decode": 0, "score": 0}

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def start(self, points: int, utterances: int, metrics: int, known: int) -> None:
        """Cells (an utterance at a point) of the whole run are decoded, then scored; `known`: records that the folder holds already."""
        self._total = points * utterances
        self._stages = {stage: self._bar.add_task(stage, total=self._total, place="") for stage in self._done}
        if self._bar.disable:
            self._started = self._told_at = self._clock()
            self._told = 0
            counts = ((points, "point"), (utterances, "utterance"), (metrics, "metric"))
            planned = " × ".join(f"{count:,} {name}{'s' * (count != 1)}" for count, name in counts)
            self._line(f"planned: {planned}; there already: {known:,} record{'s' * (known != 1)}")

    def decoded(self, label: str, point: str) -> None:
        self._advance("decode", label, point)

    def scored(self, label: str, point: str) -> None:
        self._advance("score", label, point)

    def _advance(self, stage: str, label: str, point: str) -> None:
        if not self._bar.disable:
            self._bar.update(self._stages[stage], advance=1, place=f"{label}@{point}")
            return
        self._done[stage] += 1
        done, now = sum(self._done.values()), self._clock()
        if now - self._told_at < LINES_APART_S or done - self._told < LINES_APART * 2 * self._total:
            return
        self._told_at, self._told = now, done
        stages = ", ".join(f"{stage}d {count:,} of {self._total:,}" for stage, count in self._done.items())
        self._line(f"{(now - self._started) / 60:.0f} min: {stages}, now {label}@{point}")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def finished_point(self, label: str, point: str, means: Mapping[str, float], failed: int) -> None:
        """One plain line; the table with intervals comes at the end."""
        if not self._console.is_terminal:
            return
        values = (f"{mean / 1000:.2f} kbps" if name == "bitrate" else f"{name} {mean:.3g}" for name, mean in means.items())
        shown = [f"{label}@{point}", *values]
        if failed:
            shown.append(f"{failed} failed")
        self._console.print("  ".join(shown), highlight=False, markup=False)
