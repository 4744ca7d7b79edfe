"""A suite from its file to finished records: preflight, data, engine, store and runner put together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from bench.analysis.summary import Table, summary
from bench.dataset import Dataset
from bench.datasets.manifest import problems
from bench.datasets.specs import open_dataset
from bench.errors import Unavailable, UserError
from bench.run import preflight
from bench.run.engine import default_jobs, open_engine
from bench.run.progress import RunProgress
from bench.run.runner import run
from bench.run.store import Store, metrics_of, read_run
from bench.suite import Suite


@dataclass(frozen=True)
class Options:
    """How a suite is run; what is run is the suite's business.

    jobs    processes; None for one a core, or one a GPU
    limit   utterances of each data set, a seeded sample
    """

    out: Path
    device: str = "cpu"
    jobs: int | None = None
    engine: str = "local"
    limit: int | None = None
    skip_unavailable: bool = False
    command: str = ""


def score(suite: Suite, options: Options, console: Console) -> pd.DataFrame:
    """The records of `suite`. Unavailable lists all that is missing; UserError all that is wrong; both before any work."""
    # What is not here counts only as far as the limit asks for it.
    lacking = [requirement for requirement in preflight.requirements(limited(suite, options.limit)) if not requirement.need.available]
    if lacking and not options.skip_unavailable:
        raise Unavailable("\n".join([f"{suite.source}: not on this machine:", *map(_tell, lacking)]))
    if lacking:
        suite = preflight.without(suite, lacking)
        console.print("\n".join(["skipped, as asked:", *map(_tell, lacking)]), highlight=False, markup=False)
    datasets = open_datasets(suite, options.limit)
    engine = open_engine(options.engine, options.jobs or _jobs(options.device))
    try:
        with RunProgress(console) as progress:
            store = Store(options.out)
            frame = run(suite, datasets, store, engine, options.device, progress, options.command)
        for warning in store.warnings:
            console.print(warning, highlight=False, markup=False, soft_wrap=True)
    finally:
        engine.close()
    return frame


def open_datasets(suite: Suite, limit: int | None = None) -> list[Dataset]:
    """The suite's data sets with every unreadable file named at once (UserError)."""
    datasets = [open_dataset(spec, suite.base_dir, suite.seed) for spec in limited(suite, limit).datasets]
    if wrong := [problem for dataset in datasets for problem in problems(dataset)]:
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


def table_of(folder: Path, by: tuple[str, ...] = ()) -> Table:
    """The table of a finished run."""
    frame, about = read_run(folder)
    nominal = {(label, point): facts["frame_rate"] for label, codec in about["codecs"].items() for point, facts in codec["points"].items()}
    return summary(frame, metrics_of(about), by=by, nominal_frame_rates=nominal, seed=about["seed"])


def _jobs(device: str) -> int:
    if not device.startswith("cuda"):
        return default_jobs()
    return 1  # one process owns a GPU


def _tell(requirement: preflight.Requirement) -> str:
    need = requirement.need
    facts = ", ".join(filter(None, [need.kind, f"{need.size_mb:.0f} MB" if need.size_mb else "", need.licence]))
    return f"  {requirement.kind} {requirement.owner}: {need.name} ({facts}); get it with: {need.how}"
