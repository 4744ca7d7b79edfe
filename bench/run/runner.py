"""Suite -> records: what is missing is handed out, measured, and kept; what is known is never computed twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from bench import audio, recordings
from bench.bitstream import unpack
from bench.checkpoint import sha256
from bench.codec import OperatingPoint
from bench.dataset import Dataset
from bench.dataset import Entry as Source
from bench.record import CODEC, Column, Record, failures_of
from bench.registry import RECORDINGS, codec_module, metric_infos
from bench.run.engine import Engine, Lost
from bench.run.provenance import about_codec, about_run, info_of, now, portable
from bench.run.store import POINTS, RUN, Store, audio_name, stream_name
from bench.run.tokens import TokenCounts
from bench.run.worker import Cell, Describe, Description, Failed, Measure, describe, measure
from bench.suite import Entry, MetricSpec, Suite


class Progress(Protocol):
    """What the terminal shows of a run."""

    def start(self, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finished_point(self, label: str, point: str, records: Sequence[Record]) -> None: ...


def run(
    suite: Suite, datasets: Sequence[Dataset], store: Store, engine: Engine, device: str, progress: Progress, command: str = ""
) -> pd.DataFrame:
    """Measures what the store lacks of the suite; returns all of its records, in the suite's order, and writes them with run.json."""
    sources = [(dataset, source) for dataset in datasets for source in dataset.entries]
    columns = {spec.metric: _score_key(spec) for spec in suite.metrics}
    table_columns = [Column(name, key) for name, key in columns.items()]
    about = about_run(suite, datasets, device, command)
    store.write_json(RUN, about)
    progress.start(len(sources) * sum(len(entry.points) for entry in suite.entries))
    rows: list[Record] = []  # of every cell of the suite
    for entry in suite.entries:
        description = _describe(entry, [source for _, source in sources], engine, device)
        if isinstance(description, Description):
            entry = dataclasses.replace(entry, points=description.points)
        about["codecs"][entry.label] = about_codec(entry, description)
        plan = _plan(entry, description, sources, store, columns)
        todo = [
            Measure(entry, device, source, missing, suite.metrics, store.folder)
            for source, cells in plan
            if (missing := tuple(cell for cell in cells if cell.missing))
        ]
        progress.advance(len(sources) * len(entry.points) - sum(len(task.cells) for task in todo))
        for task, result in _failed(todo, description) if isinstance(description, Failed) else engine.map(measure, todo):
            for record in _lost(task, result) if isinstance(result, Lost) else result:
                store.add(_keyed(record, columns))
            progress.advance(len(task.cells))
        for point in entry.points:
            blanks = [cell.record for _, cells in plan for cell in cells if cell.point == point]
            measured = [_labelled(known, blank) for blank in blanks if (known := store.get(blank.key)) is not None]
            progress.finished_point(entry.label, point.name, [_named(record, columns) for record in measured])
            rows += blanks
    frame = store.finish(rows, table_columns)
    store.write_json(POINTS, token_statistics(frame, store.folder))
    store.write_json(RUN, {**about, "finished": now()})
    return frame


def failures(frame: pd.DataFrame) -> list[tuple[str, str, str, str, str]]:
    """(codec, point, utterance, what failed, why) of every recorded failure."""
    places = zip(frame["codec"], frame["point"], frame["utterance"], strict=True)
    return [(*place, what, reason) for place, told in zip(places, failures_of(frame), strict=True) for what, reason in told.items()]


def token_statistics(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Of each codec@point: codebook usage, perplexity and entropy per token of every codebook, over all utterances."""
    statistics = {}
    for (codec, point), rows in frame[frame["stream_file"] != ""].groupby(["codec", "point"], sort=False):
        counts = TokenCounts()
        for name in rows["stream_file"]:
            if (folder / name).is_file():
                counts.add(unpack((folder / name).read_bytes()))
        statistics[f"{codec}@{point}"] = counts.summary()
    return statistics


def _describe(entry: Entry, sources: list[Source], engine: Engine, device: str) -> Description | Failed | None:
    if entry.module == RECORDINGS:
        return None
    tunes = any("target_frame_rate" in point.options for point in entry.points)
    ((_, result),) = engine.map(describe, [Describe(entry, device, tuple(sources) if tunes else ())])
    return Failed(result.reason) if isinstance(result, Lost) else result


def _plan(
    entry: Entry,
    description: Description | Failed | None,
    sources: Sequence[tuple[Dataset, Source]],
    store: Store,
    columns: Mapping[str, str],
) -> list[tuple[Source, tuple[Cell, ...]]]:
    """Every utterance with a cell for each point, which knows what it lacks."""
    made = recordings.read_systems(entry.manifest)[entry.system].points if entry.manifest else None
    plan = []
    for dataset, source in sources:
        cells = []
        for point in entry.points:
            recording = made[point.name].get(source.id) if made is not None else None
            if made is not None and recording is None:
                continue
            record = _blank_record(identity(entry, description, point, source, recording), entry, point, dataset, source)
            known = store.get(record.key)
            has = set() if known is None else {*known.scores, *known.not_applicable}
            cells.append(Cell(record, point, tuple(name for name, key in columns.items() if key not in has), recording))
        plan.append((source, tuple(cells)))
    return plan


def identity(entry: Entry, description: Any, point: OperatingPoint, source: Source, recording: Any) -> str:
    """The hash of all that a score follows from, save the metric: the same in any run, whatever the suite calls it."""
    if recording is not None:
        reference = sha256(recording.reference) if recording.reference else ""
        made_by: Any = [sha256(recording.path), reference, recording.frame_rate, recording.bitrate, recording.n_q]
    else:
        weights = description.weights_sha256 if isinstance(description, Description) else f"{entry.checkpoint}"
        made_by = [codec_module(entry.module).VERSION, weights, point.frame_rate, point.n_q, sorted(point.options.items())]
    module = sha256(Path(entry.module)) if entry.module.endswith(".py") else entry.module
    parts = [module, made_by, sha256(source.path), source.text, source.language, audio.RESAMPLER]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _score_key(spec: MetricSpec) -> str:
    """A metric with its version and options, weights by their content: the name under which the journal keeps its scores."""
    paths = {name: Path(value) for name, value in spec.options.items() if name.startswith("checkpoint")}
    options = {**spec.options, **{name: sha256(path) for name, path in paths.items() if path.exists()}}
    suffix = ":" + hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8] if options else ""
    return f"{spec.metric}#{metric_infos()[spec.metric].version}{suffix}"


def _keyed(record: Record, columns: Mapping[str, str]) -> Record:
    def rename(told: Mapping[str, Any]) -> dict[str, Any]:
        return {columns.get(name, name): value for name, value in told.items()}

    return dataclasses.replace(
        record, scores=rename(record.scores), failures=rename(record.failures), not_applicable=rename(record.not_applicable)
    )


def _named(record: Record, columns: Mapping[str, str]) -> Record:
    return _keyed(record, {key: name for name, key in columns.items()})


def _blank_record(key: str, entry: Entry, point: OperatingPoint, dataset: Dataset, source: Source) -> Record:
    names = (key, entry.label, point.name, dataset.name, source.id)
    kind = info_of(entry).kind
    return Record(
        key=key,
        codec=entry.label,
        module=Path(entry.module).name,
        checkpoint=portable(entry.checkpoint),
        kind=kind,
        family=entry.family,
        point=point.name,
        dataset=dataset.name,
        language=source.language,
        utterance=source.id,
        speaker=source.speaker or "",
        text=source.text or "",
        duration_s=source.duration_s,
        audio_file=audio_name(*names) if entry.module != RECORDINGS else "",
        stream_file=stream_name(*names) if kind in {"fixed", "dynamic"} and entry.module != RECORDINGS else "",
    )


def _lost(task: Measure, lost: Lost) -> Iterator[Record]:
    for cell in task.cells:
        yield dataclasses.replace(cell.record, failures={CODEC: lost.reason})


def _failed(todo: Sequence[Measure], failed: Failed) -> Iterator[tuple[Measure, Lost]]:
    for task in todo:
        yield task, Lost(f"load: {failed.reason}")


def _labelled(known: Record, blank: Record) -> Record:
    """What was measured, under the names of this suite."""
    names = ("codec", "checkpoint", "kind", "family", "point", "dataset", "utterance", "speaker")
    return dataclasses.replace(known, **{name: getattr(blank, name) for name in names})
