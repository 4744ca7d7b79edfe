"""What a suite needs and this machine lacks, found before the first second of work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bench.dataset import Dataset
from bench.datasets.specs import needs as dataset_needs
from bench.errors import UserError
from bench.needs import Requirement
from bench.registry import RECORDINGS
from bench.suite import REFERENCE, Suite


def requirements(suite: Suite, registry: Any) -> list[Requirement]:
    """Everything that the suite's codecs, metrics and data sets need, here or not."""
    found = [
        Requirement("codec", entry.label, need)
        for entry in suite.entries
        if entry.module != RECORDINGS
        for need in registry.codec_module(entry.module).needs(entry.checkpoint)
    ]
    for spec in suite.metrics:
        module = registry.metric_modules()[spec.metric]
        found += [Requirement("metric", spec.metric, need) for need in module.needs([spec.metric], spec.options)]
    for index, dataset in enumerate(suite.datasets):
        found += [Requirement("dataset", str(index), need) for need in dataset_needs(dataset, suite.base_dir, suite.seed)]
    return found


def without_text(suite: Suite, datasets: Sequence[Dataset], registry: Any) -> list[str]:
    """A line for each data set in which metrics that compare with a transcript will find none, or not everywhere."""
    infos = registry.metric_infos()
    metrics = ", ".join(spec.metric for spec in suite.metrics if infos[spec.metric].needs_text)
    lines = []
    for dataset in datasets:
        without = sum(entry.text is None for entry in dataset.entries)
        if metrics and without:
            of = "none" if without == len(dataset.entries) else f"only {len(dataset.entries) - without:,}"
            lines.append(f"{dataset.name}: {of} of its {len(dataset.entries):,} utterances with text; without it no value of {metrics}")
    return lines


def without(suite: Suite, lacking: list[Requirement]) -> Suite:
    """`suite` less what is lacking. UserError where nothing would be left to run."""
    owners = {(requirement.kind, requirement.owner) for requirement in lacking}
    here = [index for index in range(len(suite.datasets)) if ("dataset", str(index)) not in owners]
    left = dataclasses.replace(
        suite,
        entries=tuple(entry for entry in suite.entries if ("codec", entry.label) not in owners),
        metrics=tuple(spec for spec in suite.metrics if ("metric", spec.metric) not in owners),
        datasets=tuple(suite.datasets[index] for index in here),
        places=tuple(suite.places[index] for index in here),
    )
    if not left.metrics or not left.datasets or all(entry.module == REFERENCE for entry in left.entries):
        raise UserError(f"{suite.source}: without what is unavailable there is no codec, metric or data set left to run")
    return left
