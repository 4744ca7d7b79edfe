"""What the page computes itself, two points against each other, is what Python computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.comparison import paired_differences
from bench.analysis.grid import grid
from bench.analysis.summary import summary
from bench.record import ranking
from bench.report.build import build
from bench.report.merge import Merged, merge
from tests.browser import opened_page
from tests.runs import run_info, synthetic_records, write_run


@pytest.fixture(scope="module", params=[10, 30], ids=["all signs", "drawn signs"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WER, a metric with failures, and an utterance that one point lacks."""
    records = synthetic_records(num_utterances=60, num_speakers=request.param)
    records = records[(records["codec"] != "opus") | (records["utterance"] != "utt/00003")]
    return write_run(tmp_path_factory.mktemp("runs") / "run", records, run_info())


@pytest.fixture(scope="module")
def merged(run: Path) -> Merged:
    return merge([run])


@pytest.fixture
def page(browser: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)
    with opened_page(browser, build([run], tmp_path / "report")) as opened:
        yield opened


def test_differences_intervals_and_p_are_pythons(page: Any, merged: Merged) -> None:
    ranked = ranking(merged.metrics)
    laid_out = grid(merged.records, ranked, list(merged.points), merged.seed)
    for one, other in ((6, 3), (1, 9), (9, 2)):
        expected = paired_differences(laid_out, ranked, [one], other, merged.seed)
        found = page.evaluate(f"bench.paired.differences({one}, {other}, bench.report.ranking)")
        for name in ("n", "better", "worse", "p"):
            assert [each[name] for each in found] == pytest.approx(getattr(expected, name)[0].tolist(), abs=1e-9), name
        for name in ("mean", "low", "high"):
            assert [each[name] for each in found] == pytest.approx(getattr(expected, name)[0].tolist(), rel=1e-3, abs=2e-6), name


@pytest.mark.parametrize("scope", [0, 2])
def test_marks_of_what_filters_leave_are_pythons_on_the_same_rows(page: Any, merged: Merged, scope: int) -> None:
    kind, name = page.evaluate(f"[bench.report.scopes[{scope}].kind, bench.report.scopes[{scope}].name]")
    records = merged.records if kind == "all" else merged.records[merged.records[kind] == name]
    left = [point for point in merged.points if point[0] != "opus"]  # whose points lead
    some = records[records["codec"] != "opus"]
    table = summary(some, merged.metrics, nominal_frame_rates={point: np.nan for point in left}, seed=merged.seed)
    marks = """([scope, metric]) => {
        bench.state.scope = scope;
        const points = bench.report.points.map((_, point) => point).filter((point) => bench.codecOf(point).label !== 'opus');
        const found = bench.marks(points, metric, () => { window.computed = (window.computed || 0) + 1; });
        return points.map((point) => found.get(point) ?? '');
    }"""
    first = [page.evaluate(marks, [scope, number]) for number in range(len(merged.metrics))]
    page.wait_for_function("window.computed > 0")
    page.wait_for_timeout(200)
    assert all(each.count("best") == 1 for each, info in zip(first, merged.metrics.values(), strict=True) if not info.diagnostic)
    for number, metric in enumerate(merged.metrics):
        expected = [row.cells[metric].mark.replace("untested", "") for row in table.rows]
        assert page.evaluate(marks, [scope, number]) == expected, metric
