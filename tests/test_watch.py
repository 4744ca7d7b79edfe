"""A folder of checkpoints turned into a history: what is new, what is best, and where it went wrong."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from rich.console import Console

from bench.cli import main
from bench.commands import watch_folder
from bench.errors import UserError
from bench.regress import watch
from bench.regress.watch import Evaluation, History, Mean, draw, look, read_history
from bench.report import plot
from bench.report.plot import save
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys
from tests.toy_checkpoints import SUITE, install, write_checkpoint, write_suite

BOTH = {("16levels", "distance"), ("256levels", "distance")}


@pytest.fixture
def metric(monkeypatch: pytest.MonkeyPatch) -> toys.ToyMetric:
    metric = toys.ToyMetric()
    install(monkeypatch, metric)
    monkeypatch.setattr(watch, "_SETTLED_S", 0.0)
    return metric


@pytest.fixture
def looked(tmp_path: Path, metric: toys.ToyMetric, monkeypatch: pytest.MonkeyPatch) -> Callable[[], History]:
    """Scores what is new in tmp_path/training, and draws nothing: that takes longer than all the rest."""
    monkeypatch.setattr(plot, "save", lambda figure, folder, name: None)
    write_suite(tmp_path)
    (tmp_path / "training").mkdir()

    def call() -> History:
        suite = load_suite(tmp_path / "toy.yaml")
        return look(tmp_path / "training", suite, "noisy", Options(tmp_path / "watched"), "*.json", Console(quiet=True))

    return call


def trained(folder: Path, noises: Sequence[float], first: int = 1) -> None:
    for number, noise in enumerate(noises, start=first):
        write_checkpoint(folder / f"step={100 * number}.json", noise)


def test_every_checkpoint_is_scored_once_and_the_best_and_the_step_are_marked(looked, metric, tmp_path) -> None:
    folder = tmp_path / "training"
    trained(folder, [0.05, 0.03, 0.01])
    history = looked()
    assert [evaluation.step for evaluation in history.scored] == [100, 200, 300]
    assert all(not evaluation.worse for evaluation in history.scored)
    assert metric.scored == 3 * 24
    trained(folder, [0.04, 0.035], first=4)
    history = looked()
    assert metric.scored == 5 * 24
    assert set(history.places()) == BOTH
    assert {history.best(place).step for place in BOTH} == {300}  # type: ignore[union-attr]
    assert {place: evaluation.step for place, evaluation in history.regressions().items()} == dict.fromkeys(BOTH, 400)
    assert looked() == history == read_history(tmp_path / "watched")
    assert metric.scored == 5 * 24


def test_a_dip_that_training_recovers_from_is_no_step(looked, tmp_path) -> None:
    trained(tmp_path / "training", [0.03, 0.08])
    assert set(looked().regressions()) == BOTH  # the last one is worse, as far as is known
    trained(tmp_path / "training", [0.02], first=3)
    history = looked()
    assert not history.regressions()
    assert history.scored[1].worse


def test_one_file_that_is_written_again_and_again_is_a_checkpoint_each_time(looked, tmp_path) -> None:
    path = tmp_path / "training" / "last.json"
    for noise in (0.03, 0.02, 0.05):
        write_checkpoint(path, noise)
        history = looked()
    assert len({evaluation.sha256 for evaluation in history.scored}) == 3
    assert not list((tmp_path / "watched").glob("*/copy"))  # the copies are gone
    means = {evaluation.means["256levels"]["distance"].mean for evaluation in history.scored}
    assert len(means) == 3


def test_a_checkpoint_that_does_not_load_is_told_once_and_scored_when_it_is_whole(looked, tmp_path) -> None:
    trained(tmp_path / "training", [0.03])
    (tmp_path / "training" / "step=200.json").write_text('{"noi')
    history = looked()
    assert [bool(evaluation.refused) for evaluation in history.evaluations] == [False, True]
    assert "step=200.json: codec 'noisy' refuses it: not a checkpoint" in history.evaluations[1].refused
    assert looked() == history
    trained(tmp_path / "training", [0.02], first=2)
    assert [evaluation.step for evaluation in looked().scored] == [100, 200]


def test_a_file_that_is_being_written_waits_for_the_next_look(looked, tmp_path, monkeypatch) -> None:
    path = tmp_path / "training" / "step=100.json"
    write_checkpoint(path, 0.03)
    with monkeypatch.context() as patch:
        patch.setattr(watch.time, "sleep", lambda seconds: write_checkpoint(path, 0.02))
        patch.setattr(watch, "_SETTLED_S", 0.0)
        assert not looked().evaluations
    assert len(looked().scored) == 1


def test_an_interrupted_evaluation_resumes(looked, metric, tmp_path, monkeypatch) -> None:
    trained(tmp_path / "training", [0.03])
    whole = toys.ToyMetric.score

    def interrupted(self, prepared, degraded):
        if self.scored == 11:
            signal.raise_signal(signal.SIGINT)
        return whole(self, prepared, degraded)

    with monkeypatch.context() as patch:
        patch.setattr(toys.ToyMetric, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            looked()
    assert len(looked().scored) == 1
    assert metric.scored < 24 + 2


def test_another_suite_needs_another_history(looked, tmp_path, metric) -> None:
    trained(tmp_path / "training", [0.03])
    looked()
    trained(tmp_path / "training", [0.02], first=2)
    write_suite(tmp_path, SUITE.replace("16levels, 256levels", "16levels").replace("name: toy", "name: other"))
    with pytest.raises(UserError, match="suite: 'toy' in the baseline, 'other' here"):
        looked()


def test_the_figure_shows_every_metric_with_its_marks(looked, tmp_path) -> None:
    trained(tmp_path / "training", [0.05, 0.02, 0.04])
    save(draw(looked()), tmp_path / "watched", "history")
    svg = ElementTree.parse(tmp_path / "watched" / "history.svg").getroot()
    texts = {"".join(element.itertext()).strip() for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"step", "16levels", "256levels"} <= texts
    assert any(text.startswith("distance") for text in texts)
    assert (tmp_path / "watched" / "history.png").stat().st_size > 1000
    (panel,) = [axes for axes in draw(read_history(tmp_path / "watched")).axes if axes.has_data()]
    stars = [line for line in panel.lines if line.get_marker() == "*"]
    steps = [line for line in panel.lines if line.get_linestyle() != "-" and line.get_marker() == "None"]
    assert [np.atleast_1d(star.get_xdata())[0] for star in stars] == [200, 200]
    assert [np.atleast_1d(step.get_xdata())[0] for step in steps] == [300, 300]


def test_the_command_looks_once_and_tells_by_its_exit_code(metric, tmp_path, monkeypatch, capsys) -> None:
    write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("training").mkdir()

    def bench(*more: str) -> tuple[int, str, str]:
        arguments = ["watch", "training", "--suite", "toy.yaml", "--codec", "noisy", "--match", "*.json", "--once", *more]
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    trained(Path("training"), [0.03, 0.02])
    code, out, _ = bench()
    assert code == 0
    assert "step 200: step=200.json; best so far in distance at 16levels, distance at 256levels" in out
    assert Path("results/watch/toy-noisy/history.svg").is_file()
    trained(Path("training"), [0.06], first=3)
    code, out, _ = bench()
    assert code == 1
    assert "WORSE in distance at 16levels, distance at 256levels" in out
    assert bench("--codec", "nosiy")[0] == 2
    trained(Path("training"), [0.01], first=4)  # recovers
    assert bench()[0] == 0


def test_the_command_fails_where_a_checkpoint_has_no_scores(metric, tmp_path, monkeypatch, capsys) -> None:
    write_suite(tmp_path)
    (tmp_path / "training").mkdir()
    lacking = tmp_path / "training" / "step=100.pt"
    torch.save({"state_dict": {}, "epoch": 3}, lacking)

    def once() -> int:
        suite = load_suite(tmp_path / "toy.yaml")
        return watch_folder(tmp_path / "training", suite, "noisy", Options(tmp_path / "watched"), "*", 1.0, once=True)

    for _ in range(2):  # as long as it lies there
        assert once() == 1
        told = " ".join(capsys.readouterr().out.split())
        assert "nothing was scored of step=100.pt" in told
    refused = read_history(tmp_path / "watched").evaluations[0].refused
    assert refused.startswith(f"{lacking}: codec 'noisy' refuses it: it has no 'noise', but 'epoch', 'state_dict'")
    trained(tmp_path / "training", [0.03], first=2)
    assert once() == 1
    lacking.unlink()
    assert once() == 0


def test_a_checkpoint_whose_every_score_failed_is_told_and_drawn_nowhere(looked, metric, tmp_path, monkeypatch) -> None:
    trained(tmp_path / "training", [float("nan")])
    history = looked()
    assert not history.places()
    assert [each.file for each in history.without_scores(tmp_path / "training")] == ["step=100.json"]


def evaluation(step: int, mean: float, worse: bool = False) -> Evaluation:
    places = (("p", "distance"),) if worse else ()
    return Evaluation("f", str(step), step, means={"p": {"distance": Mean(mean, mean - 1, mean + 1, 9)}}, run="r", worse=places)


def test_the_step_is_the_first_of_those_that_stay_worse() -> None:
    place = ("p", "distance")
    facts = [(3.0, False), (2.0, False), (4.0, True), (1.0, False), (5.0, True), (4.0, True)]
    history = History(tuple(evaluation(step, mean, worse) for step, (mean, worse) in enumerate(facts)), {"distance": toys.info("distance")})
    assert history.regressions()[place].step == 4
    assert history.best(place) == history.evaluations[3]
    upward = History(history.evaluations, {"distance": toys.info("distance", higher_is_better=True)})
    assert upward.best(place) == history.evaluations[4]


@pytest.mark.parametrize(
    ("name", "metadata", "step"),
    [
        ("epoch=3-step=1200", None, 1200),
        ("fixed_tiny_80hz", {"steps": "500", "total_steps": "6200"}, 6200),
        ("step_50", {"total_steps": "6200"}, 50),
        ("model_00042", None, 42),
    ],
)
def test_the_step_is_read_from_the_name_or_the_file(name, metadata, step, tmp_path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"{name}.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata)
    assert watch._step(path) == step


def test_a_mean_that_is_missing_stays_missing(tmp_path) -> None:
    nan = float("nan")
    one = Evaluation("f", "ab", 1, refused="broken", means={"p": {"distance": Mean(nan, nan, nan, 0)}})
    watch._write_history(tmp_path, [one])
    assert "NaN" not in (tmp_path / "history.jsonl").read_text()
    (read,) = read_history(tmp_path).evaluations
    assert np.isnan(read.means["p"]["distance"].mean)


def test_a_reason_may_hold_any_character(tmp_path) -> None:
    one = Evaluation("f", "ab", 1, refused="first\u2028second\x85third\x1cfourth\nfifth")
    watch._write_history(tmp_path, [one])
    assert read_history(tmp_path).evaluations == (one,)


@pytest.mark.parametrize("line", [b'{"file": "f", "st', b"[1]", b"\xff\xfe", b'{"file": "f"}', b'{"means": 1, "worse": []}'])
def test_a_damaged_history_is_one_line_with_its_place(line, tmp_path) -> None:
    watch._write_history(tmp_path, [Evaluation("f", "ab", 1, refused="broken")])
    path = tmp_path / "history.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(UserError, match=r"history\.jsonl:\d: damaged") as told:
        read_history(tmp_path)
    assert "\n" not in str(told.value)
