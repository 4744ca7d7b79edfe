"""What a suite needs and this machine lacks, found before the first second of work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from bench.dataset import Dataset, Entry
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
    for dataset in suite.datasets:
        found += [Requirement("data set", dataset.label(), need) for need in dataset_needs(dataset, suite.base_dir, suite.seed)]
    return found


_LACKS: tuple[tuple[str, str, Callable[[Entry], bool]], ...] = (
    ("text", "a `text:` of the data set, or --text", lambda entry: entry.text is None),
    ("a language", "its `language:`, or --language", lambda entry: not entry.language),
)


def without_text(suite: Suite, datasets: Sequence[Dataset], registry: Any) -> list[str]:
    """A line for each data set in which metrics that compare with a transcript will find none, or not its language, or not everywhere.

    UserError where nothing else is to be scored, and no utterance has both.
    """
    infos = registry.metric_infos()
    needing = [spec.metric for spec in suite.metrics if infos[spec.metric].needs_text]
    lines = []
    for dataset in datasets:
        for what, how, lacks in _LACKS:
            without = sum(lacks(entry) for entry in dataset.entries)
            if needing and without:
                of = "none" if without == len(dataset.entries) else f"only {len(dataset.entries) - without:,}"
                told = f"{dataset.name}: {of} of its {len(dataset.entries):,} utterances with {what}; without it no value of"
                lines.append(f"{told} {', '.join(needing)} ({how})")
    usable = any(not any(lacks(entry) for _, _, lacks in _LACKS) for dataset in datasets for entry in dataset.entries)
    if len(needing) == len(suite.metrics) and not usable:
        raise UserError("\n".join(lines))
    return lines


def without(suite: Suite, lacking: list[Requirement]) -> Suite:
    """`suite` less what is lacking. UserError where nothing would be left to run."""
    owners = {(requirement.kind, requirement.owner) for requirement in lacking}
    here = [index for index, dataset in enumerate(suite.datasets) if ("data set", dataset.label()) not in owners]
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
