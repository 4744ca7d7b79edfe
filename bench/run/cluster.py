"""The same tasks as actors of a Ray cluster. Nodes need this program, and nothing of this machine's disk."""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataset import Entry as Source
from bench.recordings import Recording
from bench.registry import Registry
from bench.run.engine import LOADING_TIMEOUT_S, Finished, Lost, cores, too_slow
from bench.run.failure import attempt
from bench.run.identity import sources_of
from bench.run.process import THREADS, one_worker
from bench.run.tasks import CheckTask, DecodeTask, DescribeTask, Lane, ScoreCell, ScoreTask
from bench.suite import Entry, MetricSpec

_LOOK_S = 1.0
_ROOM_S = 30.0  # for which an actor may wait for a core or GPU, before the cluster is asked whether it has as many


@dataclass(eq=False)
class _Member:
    """A place for an actor, which is made with its first task, and again where it died.

    ready   answers when the actor has a core or GPU and has been made; asked: when that was asked for
    """

    number: int
    lanes: frozenset[Lane]
    options: Mapping[str, Any]
    device: str
    actor: Any = None
    ready: Any = None
    asked: float = 0.0
    ticket: int | None = None
    answer: Any = None
    deadline: float = 0.0
    limit_s: float = 0.0


class RayEngine:
    """Actors on the cluster that RAY_ADDRESS names, or on one that is started here.

    device       "cpu", or "cuda": `per_device` decode actors on each GPU of the cluster
    jobs         actors with one core each; None for as many as the cluster has cores
    """

    def __init__(self, device: str, per_device: int, jobs: int | None, timeout_s: float) -> None:
        import ray

        self._ray = ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            local: dict[str, Any] = {} if address else {"num_cpus": jobs or cores(), "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
        resources = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
        self.accelerated = gpus > 0
        self._timeout_s = timeout_s
        self._metrics: Sequence[MetricSpec] = ()
        self._tickets = 0
        both: frozenset[Lane] = frozenset({"core"}) if gpus else frozenset({"core", "device"})
        on_gpu = [(frozenset({"device"}), {"num_cpus": 0, "num_gpus": 1 / per_device}, "cuda")] * (gpus * per_device)
        on_cores = [(both, {"num_cpus": 1}, "cpu")] * (jobs or max(1, int(resources.get("CPU", 1))))
        places: list[Any] = [*on_gpu, *on_cores]
        self._members = [_Member(number, lanes, options, where) for number, (lanes, options, where) in enumerate(places)]
        self._files: dict[Path, Any] = {}

    def start(self, metrics: Sequence[MetricSpec], registry: Registry) -> None:
        self._metrics = metrics
        self.close()

    def idle(self, lane: Lane, avoid: int | None = None) -> bool:
        return self._free(lane, avoid) is not None

    def submit(self, lane: Lane, task: Any, avoid: int | None = None) -> int:
        member = self._free(lane, avoid)
        assert member is not None
        if member.number == avoid and member.actor is not None:
            self._ray.kill(member.actor)
            member.actor = None
        if member.actor is None:
            runtime = {"env_vars": dict.fromkeys(THREADS, "1")}
            actor = self._ray.remote(max_restarts=0, runtime_env=runtime, **member.options)(_Actor)
            metrics, files = self._shipped_metrics()
            member.actor = actor.remote(member.device, metrics, list(files), *files.values())
            member.ready, member.asked = member.actor.__ray_ready__.remote(), time.monotonic()
        self._tickets += 1
        files = self._shipped(task)
        member.ticket = self._tickets
        member.answer = member.actor.call.remote(task, list(files), *files.values())
        member.limit_s = self._timeout_s * _calls(task)
        member.deadline = time.monotonic() + member.limit_s + LOADING_TIMEOUT_S  # no beat comes through: the bound on the whole task
        return self._tickets

    def wait(self) -> list[Finished]:
        while busy := {member.answer: member for member in self._members if member.ticket is not None}:
            done, _ = self._ray.wait(list(busy), num_returns=1, timeout=_LOOK_S)
            if done:
                return [self._result(busy[answer]) for answer in done]
            for member in busy.values():
                if time.monotonic() > member.deadline:
                    self._ray.kill(member.actor)
                    return [self._finish(member, Lost(too_slow(member.limit_s), final=True), lost=True)]
            if without_room := self._give_up_places():
                return without_room
        return []

    def _give_up_places(self) -> list[Finished]:
        """The tasks of actors for which a cluster that lost a node, or never had so many cores, has no room: those places are given up."""
        late = [each for each in self._members if each.ticket is not None and self._is_late(each)]
        found = []
        for option, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU")) if late else ():
            own = [each for each in self._members if each.options.get(option)]
            room = max(1, int(self._ray.cluster_resources().get(resource, 0) / own[0].options[option] + 1e-6)) if own else 0
            spare = [each for each in own if each.actor is None] + [each for each in own if each in late]
            for member in spare[: max(0, len(own) - room)]:
                self._members.remove(member)
                if member.ticket is not None:
                    self._ray.kill(member.actor)
                    found.append(self._finish(member, Lost("the cluster has no core or GPU for it"), lost=True))
        return found

    def _is_late(self, member: _Member) -> bool:
        return time.monotonic() - member.asked > _ROOM_S and not self._ray.wait([member.ready], timeout=0)[0]

    def close(self) -> None:
        """Gives the actors back; the cluster stays as it was found."""
        for member in self._members:
            if member.actor is not None:
                self._ray.kill(member.actor)
            member.actor = member.ticket = member.answer = None

    def _free(self, lane: Lane, avoid: int | None) -> _Member | None:
        able = [each for each in self._members if lane in each.lanes]
        others = [each for each in able if each.number != avoid] or able
        return min((each for each in others if each.ticket is None), key=lambda each: each.actor is None, default=None)

    def _result(self, member: _Member) -> Finished:
        try:
            return self._finish(member, self._ray.get(member.answer))
        except self._ray.exceptions.RayError as error:
            return self._finish(member, Lost(f"the Ray actor died on it: {error}".splitlines()[0]), lost=True)

    def _finish(self, member: _Member, result: Any, lost: bool = False) -> Finished:
        assert member.ticket is not None
        finished = Finished(member.ticket, result, member.number)
        member.ticket = member.answer = None
        if lost:
            member.actor = None
        return finished

    def _shipped(self, task: Any) -> dict[str, Any]:
        """Path -> its content in the object store, for every file that the task names: each is read once, on this side."""
        paths: list[Path] = []
        if isinstance(task, (DescribeTask, DecodeTask, CheckTask)):
            paths += _files_of(task.entry)
        sources = task.sources if isinstance(task, DescribeTask) else () if isinstance(task, CheckTask) else (task.source,)
        paths += [source.path for source in sources]
        if isinstance(task, DecodeTask):
            paths += [path for cell in task.cells if cell.recording for path in (cell.recording.path, cell.recording.reference) if path]
        if isinstance(task, ScoreTask):
            paths += [path for cell in task.cells for path in (cell.audio, cell.reference) if isinstance(path, Path)]
        return self._in_store(paths)

    def _shipped_metrics(self) -> tuple[Sequence[MetricSpec], dict[str, Any]]:
        paths = [Path(value) for spec in self._metrics for value in spec.options.values() if Path(value).is_file()]
        return self._metrics, self._in_store(paths)

    def _in_store(self, paths: Sequence[Path]) -> dict[str, Any]:
        found = {}
        for path in dict.fromkeys(paths):
            if path not in self._files and path.is_file():
                self._files[path] = self._ray.put(path.read_bytes())
            if path in self._files:
                found[str(path)] = self._files[path]
        return found


def _files_of(entry: Entry) -> list[Path]:
    """The files of a codec of one's own, and of a checkpoint given as a path."""
    own = sources_of(Path(entry.module)) if entry.module.endswith(".py") else []
    checkpoint = Path(entry.checkpoint) if entry.checkpoint else None
    if checkpoint is None or not checkpoint.exists():
        return own
    return own + (sorted(path for path in checkpoint.rglob("*") if path.is_file()) if checkpoint.is_dir() else [checkpoint])


def _calls(task: Any) -> int:
    """Calls into codecs and metrics that a task may make, each of which has its own time."""
    if isinstance(task, DescribeTask):
        return 1 + len(task.sources)
    if isinstance(task, DecodeTask):
        return 1 + len(task.cells) + _scores(cell.score for cell in task.cells if cell.score)
    return _scores(task.cells) if isinstance(task, ScoreTask) else 1


def _scores(cells: Iterable[ScoreCell]) -> int:
    return sum(2 * len(cell.columns) for cell in cells)


class _Actor:
    """A worker on some node. Files that the node does not have are laid into a folder of its own, under the paths that they had."""

    def __init__(self, device: str, metrics: Sequence[MetricSpec], names: Sequence[str], *contents: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._lay(names, contents)
        self._worker = one_worker(device, [self._metric(spec) for spec in metrics], lambda _what: None)

    def call(self, task: Any, names: Sequence[str], *contents: bytes) -> Any:
        self._lay(names, contents)
        return attempt(self._worker.handle, self._task(task))

    def _lay(self, names: Sequence[str], contents: Sequence[bytes]) -> None:
        for name, content in zip(names, contents, strict=True):
            if not Path(name).exists() and not (place := self._here(Path(name))).exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)

    def _here(self, path: Path) -> Path:
        return path if path.exists() else Path(self._folder.name, *path.absolute().parts[1:])

    def _text(self, value: str) -> str:
        """A path that was laid here, or the value as it stands."""
        return str(here) if (here := self._here(Path(value))).exists() else value

    def _metric(self, spec: MetricSpec) -> MetricSpec:
        return spec.model_copy(update={"options": {name: self._text(value) for name, value in spec.options.items()}})

    def _task(self, task: Any) -> Any:
        changes: dict[str, Any] = {}
        if isinstance(task, (DescribeTask, DecodeTask, CheckTask)):
            entry = task.entry
            changes["entry"] = dataclasses.replace(
                entry,
                module=self._text(entry.module) if entry.module.endswith(".py") else entry.module,
                checkpoint=entry.checkpoint and self._text(entry.checkpoint),
            )
        if isinstance(task, DescribeTask):
            changes["sources"] = tuple(map(self._source, task.sources))
        elif isinstance(task, (DecodeTask, ScoreTask)):
            changes["source"] = self._source(task.source)
        if isinstance(task, DecodeTask):
            changes["cells"] = tuple(
                dataclasses.replace(cell, recording=self._recording(cell.recording), score=cell.score and self._score(cell.score))
                for cell in task.cells
            )
        elif isinstance(task, ScoreTask):
            changes["cells"] = tuple(map(self._score, task.cells))
        return dataclasses.replace(task, **changes)

    def _score(self, cell: ScoreCell) -> ScoreCell:
        audio = self._here(cell.audio) if isinstance(cell.audio, Path) else cell.audio
        return dataclasses.replace(cell, audio=audio, reference=cell.reference and self._here(cell.reference))

    def _source(self, source: Source) -> Source:
        return dataclasses.replace(source, path=self._here(source.path))

    def _recording(self, recording: Recording | None) -> Recording | None:
        if recording is None:
            return None
        reference = recording.reference and self._here(recording.reference)
        return dataclasses.replace(recording, path=self._here(recording.path), reference=reference)
