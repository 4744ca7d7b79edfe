"""A suite from its file to finished records: preflight, data, engine, store and runner put together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.dataset import Dataset
from bench.datasets.manifest import problems
from bench.datasets.specs import open_dataset
from bench.errors import Unavailable, UserError
from bench.needs import Requirement
from bench.recordings import pairing, points_of
from bench.registry import RECORDINGS, Registry, take_metrics
from bench.run import preflight
from bench.run.engine import DEFAULT_TIMEOUT_S, Engine, open_engine
from bench.run.progress import RunProgress
from bench.run.runner import run
from bench.run.store import RUN, Store
from bench.suite import Suite


@dataclass(frozen=True)
class Options:
    """How a suite is run; what is run is the suite's business.

    device       "cpu"; "cuda" for every visible GPU; "cuda:1" for that one
    per_device   workers on each GPU
    jobs         workers on the processor's cores; None for one a core that is left. One, on the CPU: everything runs in this process
    limit        utterances of each data set, a seeded sample
    timeout_s    of one call into a codec or metric
    allow_missing   recordings need not have every utterance
    """

    out: Path
    device: str = "cpu"
    jobs: int | None = None
    engine: str = "local"
    limit: int | None = None
    skip_unavailable: bool = False
    command: str = ""
    per_device: int = 1
    allow_missing: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S


def score(suite: Suite, options: Options, console: Console, engine: Engine | None = None, registry: Any = None) -> pd.DataFrame:
    """The records of `suite`. Unavailable lists all that is missing; UserError all that is wrong; both before any work.

    engine, registry   in place of what `options` name, and of all that is installed; an engine that is given is not closed
    """
    registry = registry or Registry()
    take_metrics(registry, suite.metrics)
    # What is not here counts only as far as the limit asks for it.
    found = preflight.requirements(limited(suite, options.limit), registry)
    lacking = [requirement for requirement in found if not requirement.need.available]
    if lacking and not options.skip_unavailable:
        raise Unavailable("\n".join([f"{suite.source}: not on this machine:", *map(_shown, lacking)]))
    if lacking:
        suite = preflight.without(suite, lacking)
        console.print("\n".join(["skipped, as asked:", *map(_shown, lacking)]), highlight=False, markup=False)
    datasets = open_datasets(suite, options.limit)
    _check_folder(suite, options)
    told = [dataset.recognised for dataset in datasets if dataset.recognised]
    for line in [*told, *preflight.without_text(suite, datasets, registry), *_pairing(suite, datasets)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with contextlib.ExitStack() as ours:
        if engine is None:
            engine = open_engine(options.engine, options.device, options.per_device, options.jobs, options.timeout_s)
            ours.callback(engine.close)
        progress = ours.enter_context(RunProgress(console))
        store = Store(options.out)
        about = {"command": options.command, "limit": options.limit, "device": options.device}
        frame = run(suite, datasets, store, engine, registry, progress, about, options.allow_missing)
    for warning in store.warnings:
        console.print(warning, highlight=False, markup=False)
    return frame


def _pairing(suite: Suite, datasets: Sequence[Dataset]) -> list[str]:
    """What of the suite's recordings and utterances does not pair; UserError where nothing does."""
    utterances = [entry.id for dataset in datasets for entry in dataset.entries]
    lines = []
    for entry in suite.entries:
        if entry.module == RECORDINGS:
            points = points_of(entry.manifest, entry.system, entry.folders, utterances)
            what = f"{entry.label}: {entry.manifest}" if entry.manifest else ", ".join(str(folder.path) for folder in entry.folders)
            lines += pairing(points, utterances, what)
    return lines


def _check_folder(suite: Suite, options: Options) -> None:
    """UserError where `options.out` holds another suite's results, or more of this one than `limit` would leave."""
    try:
        about = json.loads((options.out / RUN).read_text(encoding="utf-8"))
        name, limit = about["suite"]["name"], about.get("limit")
    except (OSError, ValueError, KeyError, TypeError):
        return  # none, or one that is damaged: the run writes it anew
    if name != suite.name:
        raise UserError(f"{options.out}: holds results of the suite '{name}', not of '{suite.name}'; give another folder with --out")
    if options.limit is not None and (limit is None or limit > options.limit):
        held = "all utterances" if limit is None else f"{limit} utterances of each data set"
        raise UserError(f"{options.out}: holds a run over {held}; give another folder with --out for --limit {options.limit}")


def open_datasets(suite: Suite, limit: int | None = None) -> list[Dataset]:
    """The suite's data sets; UserError names every mistake in all of them at once, with the place of the suite that names the set."""
    datasets, wrong = [], []
    for spec, place in zip(limited(suite, limit).datasets, suite.places, strict=True):
        try:
            datasets.append(open_dataset(spec, suite.base_dir, suite.seed))
            mistakes = problems(datasets[-1])
        except UserError as error:
            mistakes = str(error).splitlines()
        wrong += [f"{place}: {mistake}" for mistake in mistakes]
    if wrong:
        raise UserError("\n".join(wrong))
    names = [dataset.name for dataset in datasets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{suite.source}: data set '{twice[0]}' comes twice")
    return datasets


def limited(suite: Suite, limit: int | None) -> Suite:
    """`suite` with no more than `limit` utterances of each data set."""
    if limit is None:
        return suite
    specs = [spec.model_copy(update={"limit": min(limit, spec.limit or limit)}) for spec in suite.datasets]
    return dataclasses.replace(suite, datasets=tuple(specs))


def _shown(requirement: Requirement) -> str:
    need = requirement.need
    facts = ", ".join(filter(None, [need.kind, f"{need.size_mb:.0f} MB" if need.size_mb else "", need.licence]))
    return f"  {requirement.kind} {requirement.owner}: {need.name} ({facts}); get it with: {need.how}"
