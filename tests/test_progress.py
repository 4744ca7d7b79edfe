"""The bars of a run: what a terminal shows of each stage, and that a pipe gets none of it."""

from __future__ import annotations

import io
import re

from rich.console import Console

from bench.run.progress import RunProgress


def shown(terminal: bool) -> str:
    """All that a run of four cells writes, three of them decoded and one scored."""
    file = io.StringIO()
    with RunProgress(Console(file=file, force_terminal=terminal, width=140, color_system=None)) as progress:
        progress.start(4)
        for point in ("80hz", "40hz", "[b]40hz"):
            progress.decoded("slime", point)
        progress.scored("slime", "80hz")
        progress.finished_point("slime", "80hz", {"bitrate": 1140.0, "stoi": 0.81}, 1)
    return file.getvalue()


def test_each_stage_names_its_point_with_rate_and_time_left() -> None:
    text = shown(terminal=True)
    assert re.search(r"decode .*3/4 [\d.]+ utterances/s [\d:]+ left slime@\[b\]40hz", text)
    assert re.search(r"score .*1/4 .* left slime@80hz", text)


def test_a_point_that_is_done_is_a_line() -> None:
    assert "slime@80hz  1.14 kbps  stoi 0.81  1 failed" in shown(terminal=True)


def test_a_pipe_gets_nothing() -> None:
    assert shown(terminal=False).strip() == ""
