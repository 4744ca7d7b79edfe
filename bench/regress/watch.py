"""Scores every checkpoint that training writes into a folder, keeps their history, and draws each metric over the steps.

A regression is a step, not a dip: the first of the checkpoints, up to the last, that are all worse than the best one before them, by the
paired test of `bench regress`. One that later checkpoints recover from is not marked; one that has only just come is.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.analysis.summary import summary
from bench.analysis.verdicts import regress
from bench.checkpoint import load_safetensors, sha256
from bench.dataset import Dataset
from bench.errors import UserError
from bench.files import without_nan, write_text
from bench.record import MetricInfo, ranking
from bench.regress.baseline import check_comparable, kept, read_baseline
from bench.regress.candidate import check_loads, with_checkpoint
from bench.run.session import Options, open_datasets, score
from bench.run.store import metrics_of, read_run
from bench.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY = "history.jsonl"
CHECKPOINTS = (".safetensors", ".pt", ".ckpt")
_SETTLED_S = 1.0  # a file that does not change for so long is taken as written; if it was not, it is refused until it has changed
_STEP_IN_NAME = re.compile(r"step\W?_?(\d+)", re.IGNORECASE)
_STEPS_IN_METADATA = ("total_steps", "steps", "step", "global_step")

Place = tuple[str, str]  # point, metric


@dataclass(frozen=True)
class Mean:
    """Over a corpus, in the metric's unit, with its 95 % interval; NaN where there is none (null in the history)."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint, a line of the history.

    refused   why it was not scored
    run       folder of its records, relative to the history's
    means     point -> metric -> Mean
    bitrate   point -> bit/s
    worse     [point, metric] in which it is worse than the best checkpoint before it
    """

    file: str
    sha256: str
    step: int
    refused: str = ""
    run: str = ""
    means: Mapping[str, Mapping[str, Mean]] = field(default_factory=dict)
    bitrate: Mapping[str, float] = field(default_factory=dict)
    worse: Sequence[Place] = ()


@dataclass(frozen=True)
class History:
    """All evaluations in the order of their steps."""

    evaluations: tuple[Evaluation, ...]
    metrics: Mapping[str, MetricInfo]

    @property
    def scored(self) -> tuple[Evaluation, ...]:
        return tuple(evaluation for evaluation in self.evaluations if not evaluation.refused)

    def places(self) -> list[Place]:
        """Every point and metric that has a mean somewhere."""
        named = {(point, metric): None for each in self.scored for point, means in each.means.items() for metric in means}
        return [place for place in named if self.best(place) is not None]

    def best(self, place: Place) -> Evaluation | None:
        """The checkpoint with the best mean; the first of equals."""
        scored = [each for each in self.scored if math.isfinite(mean_of(each, place))]
        return max(scored, key=lambda each: self.metrics[place[1]].sign * mean_of(each, place), default=None)

    def regressions(self) -> dict[Place, Evaluation]:
        """Where a regression stands: the first checkpoint of those, up to the last, that are worse than the best before them."""
        found = {}
        for place in self.places():
            for evaluation in reversed(self.scored):
                if place not in evaluation.worse:
                    break
                found[place] = evaluation
        return found

    def without_scores(self, folder: Path) -> list[Evaluation]:
        """Checkpoints that still lie in `folder` as they were when they were refused, or when nothing of them could be scored."""
        failed = [each for each in self.evaluations if each.refused or not _has_scores(each)]
        return [each for each in failed if (folder / each.file).is_file() and sha256(folder / each.file) == each.sha256]


def _has_scores(evaluation: Evaluation) -> bool:
    return any(math.isfinite(mean.mean) for means in evaluation.means.values() for mean in means.values())


def mean_of(evaluation: Evaluation, place: Place) -> float:
    mean = evaluation.means.get(place[0], {}).get(place[1])
    return math.nan if mean is None else mean.mean


def look(folder: Path, suite: Suite, label: str, options: Options, match: str, console: Console) -> History:
    """Scores what is new in `folder`, appends it to `options.out`/history.jsonl, and draws the history anew."""
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder")
    with_checkpoint(suite, label, "")  # names a wrong label before anything is waited for
    history = read_history(options.out)
    datasets: list[Dataset] | None = None
    for path in _settled(folder, match, {evaluation.sha256 for evaluation in history.evaluations}):
        datasets = datasets if datasets is not None else open_datasets(suite, options.limit)
        evaluation = _evaluate(path, suite, label, datasets, options, history, console)
        if evaluation is None:
            continue
        _write_history(options.out, [*history.evaluations, evaluation])
        history = read_history(options.out)
        console.print(_line(evaluation, history), highlight=False, markup=False, soft_wrap=True)
        if history.places():
            from bench.report.plot import save

            save(draw(history), options.out, "history")
    return history


def read_history(out: Path) -> History:
    """What the watches of `out` have found so far; nothing where there was none."""
    evaluations = sorted(_read_evaluations(out / HISTORY), key=lambda evaluation: evaluation.step)
    last = next((evaluation for evaluation in evaluations if evaluation.run), None)
    infos = metrics_of(read_run(out / last.run)[1]) if last else {}
    return History(tuple(evaluations), ranking(infos))


def draw(history: History) -> Figure:
    """A panel a metric: a line a point over the steps, a star at the best checkpoint, a red line where a regression begins."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    from bench.report.plot import RC

    places = history.places()
    names = list(dict.fromkeys(metric for _, metric in places))
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.6 * columns, 2.4 * rows + 0.4), layout="constrained")
        panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for panel, name in zip(panels, names, strict=False):
            _draw_metric(panel, history, name, [place for place in places if place[1] == name])
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _draw_metric(panel: Axes, history: History, name: str, places: Sequence[Place]) -> None:
    from bench.report.style import COLOURS
    from bench.report.table import head

    regressions = history.regressions()
    for number, place in enumerate(places):
        colour = COLOURS[number % len(COLOURS)]
        drawn = [(each.step, each.means[place[0]][name]) for each in history.scored if math.isfinite(mean_of(each, place))]
        steps = [step for step, _ in drawn]
        panel.plot(steps, [mean.mean for _, mean in drawn], color=colour, marker="o", markersize=2.5, linewidth=1.1, label=place[0])
        panel.fill_between(steps, [mean.low for _, mean in drawn], [mean.high for _, mean in drawn], color=colour, alpha=0.15, linewidth=0)
        best = history.best(place)
        assert best is not None  # places() has only such
        panel.plot([best.step], [mean_of(best, place)], color=colour, marker="*", markersize=9, linestyle="none")
        if place in regressions:
            panel.axvline(regressions[place].step, color="#cc2222", linewidth=0.9, linestyle=(0, (4, 2)))
    panel.set_xlabel("step")
    panel.set_ylabel(head(history.metrics[name]))


def _matches(folder: Path, match: str) -> list[Path]:
    """The files that `match` names, without it those with a suffix of checkpoints."""
    found = folder.glob(match) if match else (path for path in folder.iterdir() if path.suffix in CHECKPOINTS)
    return [path for path in found if path.is_file()]


def _settled(folder: Path, match: str, known: set[str]) -> list[Path]:
    """Files whose content is not `known` and that no one is writing, in the order of their steps."""

    def state(path: Path) -> tuple[int, int] | None:
        return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None

    before = {path: state(path) for path in _matches(folder, match) if sha256(path) not in known}
    if before:
        time.sleep(_SETTLED_S)
    settled = [path for path, was in before.items() if was is not None and state(path) == was]
    return sorted(settled, key=lambda path: (_step(path), path.name))


def _step(path: Path) -> int:
    """Of a checkpoint: `step1000` in its name, the steps in its metadata, a number that ends its name, or else when it was written."""
    if found := _STEP_IN_NAME.search(path.stem):
        return int(found[1])
    metadata: Mapping[str, str] = {}
    if path.suffix == ".safetensors":
        try:
            _, metadata = load_safetensors(path)
        except UserError:
            metadata = {}  # it will be refused, with the reason
    steps = next((metadata[name] for name in _STEPS_IN_METADATA if name in metadata), "")
    if steps.isdigit():
        return int(steps)
    ending = re.search(r"(\d+)$", path.stem)
    return int(ending[1]) if ending else int(path.stat().st_mtime)


def _evaluate(
    path: Path, suite: Suite, label: str, datasets: Sequence[Dataset], options: Options, history: History, console: Console
) -> Evaluation | None:
    """Scores a copy, as training may write the next checkpoint over this one meanwhile; None where it did so before the copy was made."""
    digest, step = sha256(path), _step(path)
    home = options.out / f"{path.stem}-{digest[:8]}"
    copy = home / "copy" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, copy)
        if sha256(copy) != digest:
            return None
        candidate = with_checkpoint(suite, label, str(copy.resolve()))
        try:
            check_loads(candidate, options.device)
        except UserError as error:
            return Evaluation(path.name, digest, step, refused=str(error).replace(str(copy.parent.resolve()), str(path.parent)))
        run = home / "run"  # alone in its folder: the journals of its siblings hold other weights, and are not read
        score(candidate, dataclasses.replace(options, out=run), console)
    finally:
        shutil.rmtree(copy.parent)
    records, about = read_run(run)
    metrics = metrics_of(about)
    table = summary(records, metrics, seed=suite.seed)
    ranked = ranking(metrics)
    return Evaluation(
        path.name,
        digest,
        step,
        run=str(run.relative_to(options.out)),
        means={
            row.point: {name: Mean(cell.mean, cell.low, cell.high, cell.n) for name, cell in row.cells.items() if name in ranked}
            for row in table.rows
        },
        bitrate={row.point: row.rates.bitrate for row in table.rows if math.isfinite(row.rates.bitrate)},
        worse=_worse_than_before(run, suite, label, datasets, options.out, History(history.evaluations, metrics)),
    )


def _worse_than_before(run: Path, suite: Suite, label: str, datasets: Sequence[Dataset], out: Path, history: History) -> list[Place]:
    """Where `run` is worse than the checkpoint of `history` that is best there."""
    best = {place: evaluation for place in history.places() if (evaluation := history.best(place)) is not None}
    candidate = read_run(run)[0]
    worse: list[Place] = []
    for earlier in dict.fromkeys(evaluation.run for evaluation in best.values()):
        baseline = read_baseline(str(out / earlier))
        check_comparable(baseline, suite, label, datasets)
        result = regress(
            baseline.records,
            kept(candidate, list(suite.metric_names)),
            history.metrics,
            margins=suite.regress.margins,
            alpha=suite.regress.alpha,
            speed=False,
            seed=suite.seed,
        )
        found = {(check.point, check.metric) for check in result.having("worse")}
        worse += [place for place, evaluation in best.items() if evaluation.run == earlier and place in found]
    return worse


def _read_evaluations(path: Path) -> list[Evaluation]:
    if not path.exists():
        return []
    evaluations: list[Evaluation] = []
    try:
        for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
            evaluations.append(_evaluation(json.loads(line)))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        where = f"{path}:{len(evaluations) + 1}"
        raise UserError(f"{where}: damaged; delete the file: what was scored is kept, and the history is drawn anew from it") from None
    return evaluations


def _write_history(out: Path, evaluations: Sequence[Evaluation]) -> None:
    lines = [json.dumps(without_nan(dataclasses.asdict(each)), ensure_ascii=False, allow_nan=False) + "\n" for each in evaluations]
    write_text(out / HISTORY, "".join(lines))


def _evaluation(row: dict[str, Any]) -> Evaluation:
    def mean(facts: dict[str, Any]) -> Mean:
        level, low, high = (math.nan if facts[key] is None else float(facts[key]) for key in ("mean", "low", "high"))
        return Mean(level, low, high, facts["n"])

    means = {point: {name: mean(facts) for name, facts in metrics.items()} for point, metrics in row["means"].items()}
    return Evaluation(**{**row, "means": means, "worse": tuple((point, metric) for point, metric in row["worse"])})


def _line(evaluation: Evaluation, history: History) -> str:
    if evaluation.refused:
        return f"refused: {evaluation.refused}"
    leaders = {place: history.best(place) for place in history.places()}
    best = [f"{metric} at {point}" for (point, metric), leader in leaders.items() if leader and leader.sha256 == evaluation.sha256]
    told = [f"step {evaluation.step}: {evaluation.file}"]
    told += [] if _has_scores(evaluation) else [f"nothing was scored: the failures are in {evaluation.run}"]
    told += [f"best so far in {', '.join(best)}"] if best else []
    told += [f"WORSE in {', '.join(f'{metric} at {point}' for point, metric in evaluation.worse)}"] if evaluation.worse else []
    return "; ".join(told)
