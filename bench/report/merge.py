"""Finished runs, read and put into one: labels kept apart, and a refusal where scores do not compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.grid import Point
from bench.errors import UserError
from bench.published import Published, published_of
from bench.record import MetricInfo, leading, reasons_text
from bench.run.store import RECORDS, RUN, metrics_of, read_points, read_run

SAME = ["codec", "point", "dataset", "utterance"]  # two records that agree in these are of one thing


@dataclass(frozen=True)
class Merged:
    """One or several runs as one.

    records    of all runs; audio_file and stream_file are absolute paths
    parts      of each run its own records, by the labels of the whole
    published  of each run what papers printed for its points, by the labels of the whole
    points     nominal frame rate (Hz) of every point, in the suites' order
    codecs     label -> what run.json says of it
    tokens     "codec@point" -> token statistics
    runs       run.json of each, in the order given
    folders    of the runs, as they were named
    baseline   the first suite's compare.baseline, or ""
    """

    records: pd.DataFrame
    parts: tuple[pd.DataFrame, ...]
    published: tuple[tuple[Published, ...], ...]
    metrics: Mapping[str, MetricInfo]
    points: Mapping[Point, float]
    codecs: Mapping[str, Mapping[str, Any]]
    tokens: Mapping[str, Mapping[str, Any]]
    runs: tuple[Mapping[str, Any], ...]
    folders: tuple[str, ...]
    baseline: str
    seed: int


def merge(folders: Sequence[Path]) -> Merged:
    """The runs in `folders` as one; UserError names what keeps two of them from being compared.

    A label that stands for other weights or code than in an earlier run gets the run's name behind it.
    """
    frames: list[pd.DataFrame] = []
    abouts: list[dict[str, Any]] = []
    published: list[tuple[Published, ...]] = []
    codecs: dict[str, dict[str, Any]] = {}
    tokens: dict[str, Any] = {}
    for folder in folders:
        records, about = read_run(folder)
        _check_whole(records, about, folder)
        for earlier, earlier_folder in zip(abouts, folders, strict=False):
            _check_comparable(earlier, about, earlier_folder, folder)
        labels = _labels(records, frames, about, codecs)
        records = records.assign(codec=records["codec"].map(labels))
        for column in ("audio_file", "stream_file"):
            records[column] = [str((folder / name).resolve()) if name else "" for name in records[column].fillna("")]
        counted = read_points(folder)
        for label, facts in about["codecs"].items():
            known = codecs.get(labels[label], {"points": {}})
            codecs[labels[label]] = {**known, **facts, "points": {**known["points"], **facts["points"]}}
            names = {f"{label}@{point}": f"{labels[label]}@{point}" for point in facts["points"]}  # either may hold an @ of its own
            tokens |= {names[name]: counts for name, counts in counted.items() if name in names}
        frames.append(records)
        abouts.append(about)
        published.append(tuple(replace(figure, codec=labels.get(figure.codec, figure.codec)) for figure in published_of(about)))
    metrics = leading({name: info for about in abouts for name, info in metrics_of(about).items()})
    return Merged(
        _combine(frames),
        tuple(frames),
        tuple(published),
        metrics,
        {(label, point): facts["frame_rate"] for label, codec in codecs.items() for point, facts in codec["points"].items()},
        codecs,
        tokens,
        tuple(abouts),
        tuple(map(str, folders)),
        (abouts[0]["suite"].get("compare") or {}).get("baseline", ""),
        abouts[0]["seed"],
    )


def _check_whole(records: pd.DataFrame, about: Mapping[str, Any], folder: Path) -> None:
    """UserError where no utterance was scored, or the two files are not of one run: a folder that was copied in part."""
    if records.empty:
        raise UserError(f"{folder}: holds no record of any utterance; run the suite again")
    for label, point in dict.fromkeys(zip(records["codec"], records["point"], strict=True)):
        if point not in about["codecs"].get(label, {"points": {}})["points"]:
            what = f"{RECORDS} holds {label}@{point}, which {RUN} does not know: they are of two runs"
            raise UserError(f"{folder}: {what}; run the suite again, or copy both")


def _check_comparable(one: Mapping[str, Any], other: Mapping[str, Any], one_folder: Path, other_folder: Path) -> None:
    reasons = []
    for name in one["metrics"].keys() & other["metrics"].keys():
        a, b = one["metrics"][name], other["metrics"][name]
        reasons += [
            f"metric '{name}' has {fact} {a.get(fact)} in the first and {b.get(fact)} in the second"
            for fact in ("version", "options", "sample_rate")
            if a.get(fact) != b.get(fact)
        ]
    revisions = {dataset["name"]: dataset["revision"] for dataset in one["datasets"]}
    reasons += [
        f"data set '{dataset['name']}' has revision {revisions[dataset['name']]} in the first and {dataset['revision']} in the second"
        for dataset in other["datasets"]
        if revisions.get(dataset["name"], dataset["revision"]) != dataset["revision"]
    ]
    if one["resampler"] != other["resampler"]:
        reasons.append(f"the first was resampled by {one['resampler']}, the second by {other['resampler']}")
    if reasons:
        raise UserError(f"{one_folder} and {other_folder} do not compare: {'; '.join(sorted(reasons))}; run one of them again")


def _labels(
    records: pd.DataFrame, frames: Sequence[pd.DataFrame], about: Mapping[str, Any], taken: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Codec label -> its label in the whole: the same where its name is new or stands for what it stood for in an earlier run."""
    earlier = pd.concat([frame[[*SAME, "key"]] for frame in frames]) if frames else records.iloc[:0][[*SAME, "key"]]
    both = records[[*SAME, "key"]].merge(earlier, on=SAME, suffixes=("", "_earlier"))
    other_keys = set(both.loc[both["key"] != both["key_earlier"], "codec"])
    labels = {}
    for label, facts in about["codecs"].items():
        other_weights = label in taken and taken[label]["weights_sha256"] != facts["weights_sha256"]
        name, again = label, 1
        while name in taken and (other_weights or label in other_keys):
            name = f"{label} ({about['suite']['name']}{'' if again == 1 else f' {again}'})"
            again += 1
        labels[label] = name
    return labels


def _combine(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows; those of one thing in several runs become one, with the scores of all."""
    if len(frames) == 1:
        return frames[0]
    combined = pd.concat(frames, ignore_index=True)
    twice = combined.duplicated(SAME, keep=False)
    if not twice.any():
        return combined
    groups = combined[twice].groupby(SAME, sort=False)
    together = groups.first()  # the first that is not null, column by column
    for told in ("failures", "not_applicable"):
        together[told] = groups[told].agg(_union)
    return pd.concat([together.reset_index(), combined[~twice]], ignore_index=True)[combined.columns]


def _union(texts: pd.Series) -> str:
    reasons: dict[str, str] = {}
    for text in texts:
        reasons |= json.loads(text)
    return reasons_text(reasons)
