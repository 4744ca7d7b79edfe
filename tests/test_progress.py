"""What is shown of a run while it goes on: bars of each stage on a terminal, plain lines in a pipe."""

from __future__ import annotations

import io
import re

from rich.console import Console

from bench.run.progress import RunProgress


def shown(terminal: bool) -> str:
    """All that a run of four cells writes, three of them decoded and one scored."""
    file = io.StringIO()
    with RunProgress(Console(file=file, force_terminal=terminal, width=140, color_system=None)) as progress:
        progress.start(2, 2, 1, 0)
        for point in ("80hz", "40hz", "[b]40hz"):
            progress.decoded("slime", point)
        progress.scored("slime", "80hz")
        progress.finished_point("slime", "80hz", {"bitrate": 1140.0, "stoi": 0.81}, 1)
    return file.getvalue()


def piped(cells: int, seconds_a_cell: float) -> list[str]:
    """The lines in a pipe of a run of so many cells, each decoded and scored at once."""
    file, now = io.StringIO(), 0.0
    with RunProgress(Console(file=file, width=40), lambda: now) as progress:
        progress.start(1, cells, 3, 7)
        for _ in range(cells):
            now += seconds_a_cell
            progress.decoded("[b]slime", "40hz")
            progress.scored("[b]slime", "40hz")
    return file.getvalue().splitlines()


def test_each_stage_names_its_point_with_rate_and_time_left() -> None:
    text = shown(terminal=True)
    assert re.search(r"decode .*3/4 [\d.]+ utterances/s [\d:]+ left slime@\[b\]40hz", text)
    assert re.search(r"score .*1/4 .* left slime@80hz", text)


def test_a_point_that_is_done_is_a_line() -> None:
    assert "slime@80hz  1.14 kbps  stoi 0.81  1 failed" in shown(terminal=True)


def test_a_pipe_gets_what_is_planned_and_no_bars() -> None:
    assert shown(terminal=False) == "planned: 2 points × 2 utterances × 1 metric; there already: 0 records\n"


def test_a_pipe_gets_a_line_every_minute_or_every_tenth_of_the_run_whichever_is_rarer() -> None:
    first, *slow = piped(cells=1000, seconds_a_cell=3.0)  # 50 minutes: a tenth takes five
    assert first == "planned: 1 point × 1,000 utterances × 3 metrics; there already: 7 records"
    assert slow[0] == "5 min: decoded 100 of 1,000, scored 100 of 1,000, now [b]slime@40hz"
    assert [line.partition(" ")[0] for line in slow] == [str(5 * number) for number in range(1, 11)]
    assert [line.partition(" ")[0] for line in piped(1000, 0.2)[1:]] == ["1", "2", "3"]  # a tenth takes 20 s: one a minute
