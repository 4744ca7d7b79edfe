"""What a terminal shows while a run goes on: for each stage a bar with the point, the rate and the time left; a pipe gets nothing."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} utterances/s" if task.speed else "")


class RunProgress:
    """Two bars over utterances x points, an utterance at a point being one, and a line for each point as it is done."""

    def __init__(self, console: Console) -> None:
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
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def start(self, total: int) -> None:
        """total: cells (an utterance at a point) of the whole run; each is decoded, then scored."""
        self._stages = {stage: self._bar.add_task(stage, total=total, place="") for stage in ("decode", "score")}

    def decoded(self, label: str, point: str) -> None:
        self._advance("decode", label, point)

    def scored(self, label: str, point: str) -> None:
        self._advance("score", label, point)

    def _advance(self, stage: str, label: str, point: str) -> None:
        if not self._bar.disable:
            self._bar.update(self._stages[stage], advance=1, place=f"{label}@{point}")

    def finished_point(self, label: str, point: str, means: Mapping[str, float], failed: int) -> None:
        """One plain line; the table with intervals comes at the end."""
        if not self._console.is_terminal:
            return
        values = (f"{mean / 1000:.2f} kbps" if name == "bitrate" else f"{name} {mean:.3g}" for name, mean in means.items())
        shown = [f"{label}@{point}", *values]
        if failed:
            shown.append(f"{failed} failed")
        self._console.print("  ".join(shown), highlight=False, markup=False)
