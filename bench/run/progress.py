"""What a person sees while a run goes on: progress with time left on a terminal, nothing in a pipe."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.record import Record


class RunProgress:
    """A bar over utterances x points, and a line for each point as it is done."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._console = console
        self._task: TaskID | None = None

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def start(self, total: int) -> None:
        self._task = self._bar.add_task("", total=total)

    def advance(self, done: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, done)

    def finished_point(self, label: str, point: str, records: Sequence[Record]) -> None:
        """One plain line; the table with intervals comes at the end."""
        if not self._console.is_terminal or not records:
            return
        names = dict.fromkeys(name for record in records for name in record.scores)
        means = {name: statistics.fmean(r.scores[name].value for r in records if name in r.scores) for name in names}
        told = [f"{label}@{point}", f"{statistics.fmean(record.bitrate for record in records) / 1000:.2f} kbps"]
        told += [f"{name} {mean:.3g}" for name, mean in means.items()]
        if failed := sum(bool(record.failures) for record in records):
            told.append(f"{failed} failed")
        self._console.print("  ".join(told), highlight=False, markup=False)
