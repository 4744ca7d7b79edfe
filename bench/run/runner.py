"""Suite -> records: what is missing is decoded and scored, both at once, and kept; what is known is never computed twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from bench import recordings
from bench.checkpoint import sha256
from bench.codec import OperatingPoint
from bench.dataset import Dataset
from bench.dataset import Entry as Source
from bench.record import CODEC, Column, Record, Score, failures_of
from bench.registry import RECORDINGS
from bench.run.engine import Engine, Finished, Lost
from bench.run.identity import codec_identity, column_of, heard, made_by, made_elsewhere, record_key
from bench.run.provenance import about_codec, about_run, info_of, now, portable
from bench.run.store import POINTS, RUN, Store, file_names
from bench.run.tasks import (
    CheckTask,
    DecodeCell,
    Decoded,
    DecodeTask,
    DescribeTask,
    Description,
    Failed,
    Lane,
    ScoreCell,
    Scored,
    ScoreTask,
)
from bench.run.tokens import TokenCounts, token_statistics
from bench.suite import Entry, Suite

MAX_LOSSES = 3  # of workers on one cell alone, until the cell is to blame
CHECKED_SHARE = 16  # of a point's utterances the first, and one in so many, are decoded again by another process
QUEUED_DECODES = 8  # utterances that wait for a worker
QUEUED_SCORES = 32  # utterances that wait for their scores, beyond which nothing more is decoded: memory stays flat
ERRORS = "errors"  # folder of a run: the whole tracebacks of its failures


class Progress(Protocol):
    """What the terminal shows of a run; it is told of cells: an utterance at a point of the codec `label`."""

    def start(self, points: int, utterances: int, metrics: int, known: int) -> None: ...

    def decoded(self, label: str, point: str) -> None: ...

    def scored(self, label: str, point: str) -> None: ...

    def finished_point(self, label: str, point: str, means: Mapping[str, float], failed: int) -> None: ...


@dataclass(eq=False)
class _Cell:
    """One point of one utterance on its way: its record before anything is known, and the columns that it lacks.

    missing      a recording that its manifest does not list
    known        what the store knew of it before this run, or knows of it since it was decoded
    lanes_left   how many of its score tasks have yet to come back
    found        its scores: those that were known, and those that have come back
    failed       something of it has failed now
    """

    blank: Record
    source: Source
    point: OperatingPoint
    recording: recordings.Recording | None
    missing: bool = False
    columns: tuple[Column, ...] = ()
    known: Record | None = None
    lanes_left: int = 0
    found: dict[str, Score] = field(default_factory=dict)
    failed: bool = False


@dataclass(eq=False)
class _Work:
    """One codec of the suite: what its results follow from, and what has come of it."""

    entry: Entry
    identity: list[Any]
    described_for: str
    description: Description | Failed | None = None
    made: Mapping[str, Mapping[str, recordings.Recording]] | None = None  # of `recordings`
    refused: dict[str, Failed] = field(default_factory=dict)  # point -> why none of its records counts
    checked: set[str] = field(default_factory=set)  # points of which another process has been asked
    left: Counter[str] = field(default_factory=Counter)  # point -> cells under way
    sums: dict[str, Counter[str]] = field(default_factory=dict)  # point -> what the line on the terminal averages
    tokens: dict[str, TokenCounts] = field(default_factory=dict)  # point -> of the streams that this run has made
    planned: bool = False


@dataclass(eq=False)
class _Job:
    """A task with the cells that it is for, in the order of the task's own."""

    lane: Lane
    task: Any
    work: _Work | None = None
    cells: Sequence[_Cell] = ()
    avoid: int | None = None  # the worker that must not do it
    losses: int = 0
    answer: Any = None


def run(
    suite: Suite,
    datasets: Sequence[Dataset],
    store: Store,
    engine: Engine,
    registry: Any,
    progress: Progress,
    about: Mapping[str, Any] | None = None,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Decodes and scores what the store lacks of the suite; returns all of its records, in the suite's order, and writes them.

    about           further facts for run.json
    allow_missing   an utterance of which `recordings` have nothing is left out, in place of a recorded failure
    """
    facts = {**about_run(suite, datasets, registry), **(about or {})}
    return _Run(suite, datasets, store, engine, registry, progress, allow_missing).all(facts)


class _Run:
    """The state of one run: jobs that wait for a worker, and jobs under way."""

    def __init__(
        self,
        suite: Suite,
        datasets: Sequence[Dataset],
        store: Store,
        engine: Engine,
        registry: Any,
        progress: Progress,
        allow_missing: bool,
    ) -> None:
        self._allow_missing = allow_missing
        self._suite, self._store, self._engine, self._registry, self._progress = suite, store, engine, registry, progress
        self._sources = [(dataset, source) for dataset in datasets for source in dataset.entries]
        self._columns = tuple(column_of(spec, registry) for spec in suite.metrics)
        infos = registry.metric_infos()
        self._lane_of: dict[Column, Lane] = {
            column: "device" if engine.accelerated and infos[column.name].accelerated else "core" for column in self._columns
        }
        self._at_once = not engine.accelerated  # the workers that decode score too: what they have made they need not be given
        self._of_stream = {column for column in self._columns if infos[column.name].of_stream}
        self._scores: dict[Lane, deque[_Job]] = {"device": deque(), "core": deque()}  # goes before what decodes, which makes more of it
        self._decodes: deque[_Job] = deque()
        self._under_way: dict[int, _Job] = {}

    def all(self, about: dict[str, Any]) -> pd.DataFrame:
        self._before = (self._store.about() or {}).get("codecs", {})  # as they were when the run was last worked on
        self._store.write_json(RUN, about)
        self._engine.start(self._suite.metrics, self._registry)
        num_points = sum(len(entry.points) for entry in self._suite.entries)
        self._progress.start(num_points, len(self._sources), len(self._columns), self._store.count())
        works = []
        for entry in self._suite.entries:
            work = self._begin(entry)
            works.append(work)
            about["codecs"][entry.label] = about_codec(work.entry, work.description, work.described_for, self._registry)
            for cells in self._plan(work):
                self._send(work, cells)
            work.planned = True
            for point in work.entry.points:
                self._finish_point(work, point.name)
        while self._turn():
            pass
        for work in works:
            self._refuse(work)
        blanks = (cell.blank for work in works for cells in self._plan(work) for cell in cells)
        frame = self._store.finish(blanks, self._columns)
        counted = {(work.entry.label, point): counts for work in works for point, counts in work.tokens.items()}
        self._store.write_json(POINTS, token_statistics(frame, self._store.read_file, counted))
        self._store.write_json(RUN, {**about, "finished": now()})
        return frame

    def _begin(self, entry: Entry) -> _Work:
        if entry.module == RECORDINGS:
            utterances = [source.id for _, source in self._sources]
            return _Work(entry, [], "", made=recordings.points_of(entry.manifest, entry.system, entry.folders, utterances))
        identity = codec_identity(entry, self._registry)
        tunes = any("target_frame_rate" in point.options for point in entry.points)
        sources = tuple(source for _, source in self._sources) if tunes else ()
        described_for = _digest([identity, [vars(point) for point in entry.points], [sha256(source.path) for source in sources]])
        before = self._before.get(entry.label, {})
        description: Description | Failed
        if before.get("described_for") == described_for:  # the codec need not be loaded to know it
            points = tuple(OperatingPoint(name, **facts) for name, facts in before["points"].items())
            description = Description(before["parameters"], points)
        else:
            description = self._ask(DescribeTask(entry, sources))
        if isinstance(description, Description):
            entry = dataclasses.replace(entry, points=description.points)
        return _Work(entry, identity, described_for, description)

    def _ask(self, task: DescribeTask) -> Description | Failed:
        """The answer to one task, while all others go on."""
        job = _Job("device", task)
        self._decodes.append(job)
        while job.answer is None:
            self._turn()
        return job.answer

    def _plan(self, work: _Work) -> Iterator[list[_Cell]]:
        """Of each utterance its cells, at all points of a codec."""
        of_codec = _facts_of(work.entry, info_of(work.entry, self._registry).kind)
        made = {
            point.name: made_by([work.identity, "missing"] if work.made is not None else work.identity, point)
            for point in work.entry.points
        }
        for dataset, source in self._sources:
            cells, of_source = [], heard(source)
            for point in work.entry.points:
                recording = work.made[point.name].get(source.id) if work.made is not None else None
                missing = work.made is not None and recording is None
                if not (missing and self._allow_missing):
                    key = record_key(made_elsewhere(recording) if recording else made[point.name], of_source)
                    blank = _blank_record(key, of_codec, point, dataset, source)
                    cells.append(_Cell(blank, source, point, recording, missing=missing))
            yield cells

    def _send(self, work: _Work, cells: Sequence[_Cell]) -> None:
        """Queues what the store lacks of one utterance, and waits where too much is queued."""
        new, again, scores = [], [], []
        for cell in cells:
            known = cell.known = self._store.get(cell.blank.key)
            cell.found = dict(known.scores) if known is not None else {}
            has = set() if known is None else {*known.scores, *known.not_applicable}
            cell.columns = tuple(column for column in self._columns if column.key not in has)
            work.left[cell.point.name] += 1
            decoded = known if known is not None and cell.columns and _is_decoded(known) else None
            audio = self._stored_audio(decoded) if decoded else None
            stream = self._store.read_file(decoded.stream_file) if decoded and audio is None else None
            if not cell.columns:
                self._progress.decoded(work.entry.label, cell.point.name)
                self._done(work, cell)
            elif cell.missing:
                self._progress.decoded(work.entry.label, cell.point.name)
                self._fail(work, cell, Failed("there is no recording of this utterance"))
            elif isinstance(work.description, Failed):
                self._progress.decoded(work.entry.label, cell.point.name)
                self._fail(work, cell, dataclasses.replace(work.description, reason=f"load: {work.description.reason}"))
            elif audio is not None:
                self._progress.decoded(work.entry.label, cell.point.name)
                scores.append((cell, audio))
            elif stream is not None:
                again.append((cell, DecodeCell(cell.point, stream, score=self._score_at_once(cell))))
            else:
                new.append((cell, DecodeCell(cell.point, recording=cell.recording, score=self._score_at_once(cell))))
        self._queue_scores(work, scores)
        for lacking in filter(None, (new, again)):
            own, parts = zip(*lacking, strict=True)
            self._decodes.append(_Job("device", DecodeTask(work.entry, own[0].source, parts, _seed(own[0].source)), work, own))
        while len(self._decodes) > QUEUED_DECODES or any(len(waiting) > QUEUED_SCORES for waiting in self._scores.values()):
            self._turn()

    def _stored_audio(self, known: Record) -> bytes | Path | None:
        """What is kept of a record that was decoded before; None where it is gone."""
        return Path(known.audio_file) if known.module == RECORDINGS else self._store.read_file(known.audio_file)

    def _queue_scores(self, work: _Work, decoded: Sequence[tuple[_Cell, bytes | Path]]) -> None:
        """A task for each lane that has columns to fill, for all points of an utterance together."""
        for lane in self._scores:
            cells, parts = [], []
            for cell, audio in decoded:
                if columns := tuple(column for column in cell.columns if self._lane_of[column] == lane):
                    cells.append(cell)
                    parts.append(self._score_cell(cell, audio, columns))
                    cell.lanes_left += 1
            if cells:
                entry = work.entry if any(part.point for part in parts) else None
                self._scores[lane].append(_Job(lane, ScoreTask(cells[0].source, tuple(parts), entry), work, cells))

    def _score_at_once(self, cell: _Cell) -> ScoreCell | None:
        """What the worker that decodes a cell is to score; columns that ask for the stream hear of it only where it is stored."""
        kept = cell.blank.stream_file or cell.recording or self._of_stream.isdisjoint(cell.columns)
        return self._score_cell(cell, b"", cell.columns) if self._at_once and kept else None

    def _score_cell(self, cell: _Cell, audio: bytes | Path, columns: tuple[Column, ...]) -> ScoreCell:
        if cell.recording or self._of_stream.isdisjoint(columns):
            return ScoreCell(audio, columns, cell.recording.reference if cell.recording else None)
        hop_length = cell.known.hop_length if cell.known else 0
        stream = self._store.read_file(cell.known.stream_file) if cell.known and audio else b""
        return ScoreCell(audio, columns, None, cell.point, hop_length, stream or b"")

    def _turn(self) -> bool:
        """Hands out what workers are free for, and takes in what has come back; False where nothing is left."""
        self._hand_out()
        done = [(self._under_way.pop(finished.ticket), finished) for finished in self._engine.wait()]
        try:
            self._hand_out()  # so that no worker waits while what it has done is stored
        finally:
            for job, finished in done:
                self._take_in(job, finished)
        return bool(self._under_way or self._decodes or any(self._scores.values()))

    def _hand_out(self) -> None:
        for lane, waiting in self._scores.items():
            while waiting and self._engine.idle(lane, waiting[0].avoid):
                self._submit(waiting.popleft())
        while self._decodes and len(self._scores["core"]) <= QUEUED_SCORES and self._engine.idle("device", self._decodes[0].avoid):
            self._submit(self._decodes.popleft())

    def _submit(self, job: _Job) -> None:
        self._under_way[self._engine.submit(job.lane, job.task, job.avoid)] = job

    def _take_in(self, job: _Job, finished: Finished) -> None:
        result = finished.result
        if isinstance(result, Lost):
            self._try_again(job, result)
        elif isinstance(job.task, DescribeTask):
            job.answer = result
        elif isinstance(job.task, CheckTask):
            if isinstance(result, Failed) and job.work is not None:
                job.work.refused.setdefault(job.cells[0].point.name, result)
        elif isinstance(result, Failed):  # of the worker itself: there is nothing of any cell
            self._give_up(job, result)
        elif isinstance(job.task, DecodeTask):
            self._take_decoded(job, result, finished.worker)
        else:
            for cell, scored in zip(job.cells, result, strict=True):
                self._take_scores(job, cell, scored)

    def _try_again(self, job: _Job, lost: Lost) -> None:
        """In parts, so that only what kills a worker fails; a cell alone a few times, as a worker may die of something else."""
        if isinstance(job.task, (DecodeTask, ScoreTask)) and (parts := job.task.parts()):
            for cell in job.cells:
                cell.lanes_left += sum(job.cells[number] is cell for _, numbers in parts for number in numbers) - 1
            for task, numbers in parts:
                self._queue(_Job(job.lane, task, job.work, [job.cells[number] for number in numbers]))
        elif lost.final or job.losses + 1 >= MAX_LOSSES:
            self._give_up(job, Failed(lost.reason))
        else:
            job.losses += 1
            self._queue(job)

    def _queue(self, job: _Job) -> None:
        (self._scores[job.lane] if isinstance(job.task, (ScoreTask, CheckTask)) else self._decodes).appendleft(job)

    def _give_up(self, job: _Job, failed: Failed) -> None:
        if isinstance(job.task, DescribeTask):
            job.answer = failed
        elif isinstance(job.task, CheckTask) and job.work is not None:
            job.work.refused.setdefault(job.cells[0].point.name, failed)
        elif isinstance(job.task, DecodeTask) and job.work is not None:
            for cell in job.cells:
                self._progress.decoded(job.work.entry.label, cell.point.name)
                self._fail(job.work, cell, failed)
        else:
            for cell, part in zip(job.cells, job.task.cells, strict=True):
                self._take_scores(job, cell, Scored(failures={column.key: failed for column in part.columns}))

    def _take_decoded(self, job: _Job, results: Sequence[Decoded | Failed], worker: int) -> None:
        """Stores audio and bitstream, then the record, then asks for the scores."""
        assert job.work is not None
        scores: list[tuple[_Cell, bytes | Path]] = []
        for cell, result in zip(job.cells, results, strict=True):
            self._progress.decoded(job.work.entry.label, cell.point.name)
            if isinstance(result, Failed):
                self._fail(job.work, cell, result)
                continue
            if result.audio:
                self._store.write_file(cell.blank.audio_file, result.audio)
                if cell.blank.stream_file:
                    self._store.write_file(cell.blank.stream_file, result.stream)
                if result.tokens is not None:  # encoded just now, not decoded from what is stored
                    job.work.tokens.setdefault(cell.point.name, TokenCounts()).update(result.tokens)
                    self._check(job.work, cell, result, worker)
            base = cell.known if cell.known is not None and _is_decoded(cell.known) else cell.blank
            stream_file = cell.blank.stream_file if result.audio else base.stream_file
            files = {"audio_file": str(cell.recording.path) if cell.recording else cell.blank.audio_file, "stream_file": stream_file}
            scored = result.scored or Scored()
            facts: dict[str, Any] = {**files, **result.facts, "scores": scored.scores, "not_applicable": scored.not_applicable}
            cell.known = dataclasses.replace(base, **facts, failures=self._reasons(scored))
            self._store.add(cell.known)
            if result.scored is None:
                scores.append((cell, result.audio or Path(cell.known.audio_file)))
            else:
                self._heard(job.work, cell, scored)
        self._queue_scores(job.work, scores)

    def _check(self, work: _Work, cell: _Cell, decoded: Decoded, worker: int) -> None:
        """Has another process decode the bitstream of some utterances: a codec that keeps what the stream lacks is found out."""
        first = cell.point.name not in work.checked
        if cell.blank.kind != "ceiling" and (first or int(cell.blank.key[:8], 16) % CHECKED_SHARE == 0):
            work.checked.add(cell.point.name)
            task = CheckTask(work.entry, cell.point, decoded.stream, decoded.audio)
            self._scores["core"].append(_Job("core", task, work, [cell], avoid=worker))

    def _take_scores(self, job: _Job, cell: _Cell, scored: Scored) -> None:
        assert job.work is not None
        self._store.add_scores(cell.blank.key, scored.scores, self._reasons(scored), scored.not_applicable)
        cell.lanes_left -= 1
        self._heard(job.work, cell, scored)

    def _heard(self, work: _Work, cell: _Cell, scored: Scored) -> None:
        cell.found |= scored.scores
        cell.failed |= bool(scored.failures)
        if not cell.lanes_left:
            self._done(work, cell)

    def _fail(self, work: _Work, cell: _Cell, failed: Failed) -> None:
        self._store.add(dataclasses.replace(cell.blank, failures={CODEC: self._reason(failed)}))
        cell.failed = True
        self._done(work, cell)

    def _reasons(self, scored: Scored) -> dict[str, str]:
        return {key: self._reason(failed) for key, failed in scored.failures.items()}

    def _reason(self, failed: Failed) -> str:
        """The reason as it is recorded; a traceback goes into a file that it names."""
        if not failed.traceback:
            return failed.reason
        name = f"{ERRORS}/{hashlib.sha256(failed.traceback.encode()).hexdigest()[:12]}.txt"
        self._store.write_file(name, failed.traceback.encode(errors="replace"))
        return f"{failed.reason} [{name}]"

    def _done(self, work: _Work, cell: _Cell) -> None:
        point = cell.point.name
        self._progress.scored(work.entry.label, point)
        sums = work.sums.setdefault(point, Counter())
        sums["failed"] += cell.failed
        if cell.known is not None and _is_decoded(cell.known):
            means = {column.name: cell.found[column.key].value for column in self._columns if column.key in cell.found}
            for name, value in {"bitrate": cell.known.bitrate, **means}.items():
                sums[name] += value  # type: ignore[assignment]
                sums[f"n of {name}"] += 1
        work.left[point] -= 1
        self._finish_point(work, point)

    def _finish_point(self, work: _Work, point: str) -> None:
        """One line on the terminal, when the last cell of a point is done."""
        sums = work.sums.get(point)
        if work.planned and sums is not None and not work.left[point]:
            means = {name: sums[name] / n for key, n in sums.items() if key.startswith("n of ") and (name := key[5:])}
            self._progress.finished_point(work.entry.label, point, means, sums["failed"])

    def _refuse(self, work: _Work) -> None:
        """Takes back all records of a point that was found out."""
        for cells in self._plan(work) if work.refused else ():
            for cell in cells:
                if failed := work.refused.get(cell.point.name):
                    self._store.replace(dataclasses.replace(cell.blank, failures={CODEC: self._reason(failed)}))


def _is_decoded(record: Record) -> bool:
    return bool(record.sample_rate) and CODEC not in record.failures


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=dict).encode()).hexdigest()


def _seed(source: Source) -> int:
    """Random numbers of a codec that draws any: its own for each utterance, whatever ran before."""
    return int(hashlib.sha256(f"{source.dataset}/{source.id}".encode()).hexdigest()[:15], 16)


def _facts_of(entry: Entry, kind: str) -> dict[str, Any]:
    """What all records of a codec have in common."""
    return {
        "codec": entry.label,
        "module": Path(entry.module).name,
        "checkpoint": portable(entry.checkpoint),
        "kind": kind,
        "family": entry.family,
    }


def _blank_record(key: str, of_codec: Mapping[str, Any], point: OperatingPoint, dataset: Dataset, source: Source) -> Record:
    audio, stream = file_names(key, of_codec["codec"], point.name, dataset.name, source.id)
    is_ours = of_codec["module"] != RECORDINGS
    return Record(
        **of_codec,
        key=key,
        point=point.name,
        dataset=dataset.name,
        language=source.language,
        utterance=source.id,
        speaker=source.speaker or "",
        text=source.text or "",
        duration_s=source.duration_s,
        audio_file=audio if is_ours else "",
        stream_file=stream if is_ours and of_codec["kind"] in {"fixed", "dynamic"} else "",
    )


def failures(frame: pd.DataFrame) -> list[tuple[str, str, str, str, str]]:
    """(codec, point, utterance, what failed, why) of every recorded failure."""
    places = zip(frame["codec"], frame["point"], frame["utterance"], strict=True)
    return [(*place, what, reason) for place, reasons in zip(places, failures_of(frame), strict=True) for what, reason in reasons.items()]
