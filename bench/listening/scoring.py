"""What listeners answered, read with the key of their test: means, shares and tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import stats as distributions

from bench.analysis.stats import cluster_sums, holm, ratios
from bench.errors import UserError
from bench.files import read_json
from bench.listening.design import ANCHORS_HZ, KEY, KEY_FORMAT, REFERENCE, Kind, anchor_name

# ITU-R BS.1534-3, section 4.1.2
TRANSPARENT = 90  # who rates the hidden reference below this, or the mid anchor above it ...
MOST_AMISS = 0.15  # ... in more than this share of the items is left out
MOST_ABOVE = 0.25  # an item whose mid anchor a larger share of the listeners rate above it is hardly changed by the anchor's filter


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _KeyTrial(_Model):
    dataset: str
    utterance: str
    stimuli: dict[str, str]


class Key(_Model):
    """key.json: of each trial, the system behind each stimulus."""

    test: str
    kind: Kind
    effect: float
    power: float
    trials: dict[str, _KeyTrial]


class _Trial(_Model):
    """scores: of MUSHRA; x, answer: of ABX; answer: of preference, None where there is none."""

    trial: str
    stimuli: list[str]
    scores: dict[str, Annotated[int, Field(ge=0, le=100)]] | None = None
    x: str | None = None
    answer: str | None = None


class Result(_Model):
    """What the page saves of one listener."""

    test: str
    kind: Kind
    listener: str = Field(min_length=1)
    session: str
    finished: str
    trials: list[_Trial]


@dataclass(frozen=True)
class Answers:
    """The answers to one test.

    frame   listener, session, dataset, utterance, and of MUSHRA system, score; else first, second, chosen (a system, or "" for no
            preference), right (of ABX)
    """

    key: Key
    listeners: int
    frame: pd.DataFrame


@dataclass(frozen=True)
class Mean:
    """A system's mean of `ratings` scores: with Student's t over all ratings, as BS.1534-3 has it, and over listeners' means."""

    system: str
    ratings: int
    listeners: int
    items: int
    mean: float
    low: float
    high: float
    low_listeners: float
    high_listeners: float


@dataclass(frozen=True)
class Excluded:
    """below: of `items`, rated with the hidden reference below TRANSPARENT; above: of `anchor_items`, with the mid anchor above it."""

    listener: str
    below: int
    items: int
    above: int
    anchor_items: int

    def __str__(self) -> str:
        told = [
            f"rated the {what} {where} {TRANSPARENT} in {count} of {items} items"
            for what, where, count, items in (
                ("hidden reference", "below", self.below, self.items),
                ("7 kHz anchor", "above", self.above, self.anchor_items),
            )
            if count > MOST_AMISS * items
        ]
        return f"{self.listener}: {' and '.join(told)} (BS.1534-3 allows {100 * MOST_AMISS:g} %)"


@dataclass(frozen=True)
class Share:
    """Two systems in ABX or preference.

    count, n    right answers of all; or preferences for `first` of those that have one, beside `undecided`
    low, high   95 %, Clopper and Pearson
    p           exact binomial test: one-sided in ABX, two-sided (sign test) in preference; p_holm over the pairs of the test
    """

    first: str
    second: str
    count: int
    n: int
    undecided: int
    listeners: int
    share: float
    low: float
    high: float
    p: float
    p_holm: float


def read_answers(paths: Sequence[Path]) -> Answers:
    """Of files and folders of files: one key, and the results of its test. UserError names the file and what is wrong with it."""
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    contents = {path: _content(path) for path in dict.fromkeys(files)}
    keys = [path for path, content in contents.items() if content.get("format") == KEY_FORMAT]
    results = {path: _parsed(Result, path, content) for path, content in contents.items() if path not in keys}
    if len(keys) != 1:
        found = (
            f"two keys, {keys[0]} and {keys[1]}; score one test at a time" if keys else f"no key; add the {KEY} that `bench listen` wrote"
        )
        raise UserError(f"--score: {found}")
    if not results:
        raise UserError(f"{keys[0]}: no results of listeners beside the key; add the JSON files that the page saved")
    key = _parsed(Key, keys[0], read_json(keys[0], "make the test again with the same command"))
    sessions: dict[str, Path] = {}
    for path, result in results.items():
        _check(path, result, key, keys[0])
        if (earlier := sessions.setdefault(result.session, path)) != path:
            raise UserError(f"{path}: is the same result as {earlier}; leave one of them out")
    rows = [row for result in results.values() for row in _rows(result, key)]
    return Answers(key, len(results), pd.DataFrame(rows))


def post_screened(ratings: pd.DataFrame) -> tuple[pd.DataFrame, list[Excluded]]:
    """The ratings of those who heard the hidden reference, and the mid anchor's filter where it can be heard; and whom that leaves out."""
    anchors = ratings[ratings["system"] == anchor_name(ANCHORS_HZ[1])]
    is_above = anchors["score"] > TRANSPARENT
    heard = is_above.groupby([anchors["dataset"], anchors["utterance"]]).transform("mean") <= MOST_ABOVE
    excluded = []
    for session, own in ratings[ratings["system"] == REFERENCE].groupby("session", sort=False):
        below, counted = int((own["score"] < TRANSPARENT).sum()), heard & (anchors["session"] == session)
        above, anchor_items = int((is_above & counted).sum()), int(counted.sum())
        if below > MOST_AMISS * len(own) or above > MOST_AMISS * anchor_items:
            excluded.append((session, Excluded(own["listener"].iloc[0], below, len(own), above, anchor_items)))
    kept = ratings[~ratings["session"].isin([session for session, _ in excluded])]
    return kept, [each for _, each in excluded]


def means(ratings: pd.DataFrame) -> list[Mean]:
    """Best first."""
    found = []
    for system, own in ratings.groupby("system", sort=False):
        scores = own["score"].to_numpy(np.float64)[:, None]
        every = ratios(cluster_sums(scores, np.ones_like(scores), np.arange(len(scores))))
        listeners = ratios(cluster_sums(scores, np.ones_like(scores), pd.factorize(own["session"])[0]))
        bounds = [float(bound[0]) for each in (every, listeners) for bound in each.student()]
        found.append(
            Mean(
                str(system),
                len(own),
                own["session"].nunique(),
                len(own[["dataset", "utterance"]].drop_duplicates()),
                float(scores.mean()),
                *bounds,
            )
        )
    return sorted(found, key=lambda each: -each.mean)


def shares(answers: pd.DataFrame, kind: Kind) -> list[Share]:
    """A line for each pair, in the order of the test."""
    found = []
    for (first, second), own in answers.groupby(["first", "second"], sort=False):
        decided = own if kind == "abx" else own[own["chosen"] != ""]
        count = int(decided["right"].sum() if kind == "abx" else (decided["chosen"] == first).sum())
        facts = (first, second, count, len(decided), len(own) - len(decided), own["session"].nunique())
        if not len(decided):
            found.append((facts, float("nan"), (0.0, 1.0), 1.0))
            continue
        test = distributions.binomtest(count, len(decided), 0.5, "greater" if kind == "abx" else "two-sided")
        interval = distributions.binomtest(count, len(decided)).proportion_ci(0.95)
        found.append((facts, count / len(decided), (interval.low, interval.high), float(test.pvalue)))
    adjusted = holm(np.array([p for *_, p in found]))
    return [Share(*facts, share, *bounds, p, float(p_holm)) for (facts, share, bounds, p), p_holm in zip(found, adjusted, strict=True)]


def _content(path: Path) -> Mapping[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged, or no JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not what a listening test saved")
    return content


M = TypeVar("M", bound=BaseModel)


def _parsed(model: type[M], path: Path, content: Mapping[str, object]) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: is not what a listening test saved: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _check(path: Path, result: Result, key: Key, key_path: Path) -> None:
    """UserError unless every trial of the key is answered once, with the key's stimuli."""
    if (result.test, result.kind) != (key.test, key.kind):
        raise UserError(f"{path}: is of the {result.kind} test {result.test}, {key_path} of the {key.kind} test {key.test}")
    done = [each.trial for each in result.trials]
    if not result.finished or sorted(done) != sorted(key.trials):
        raise UserError(f"{path}: is not finished: {len(set(done) & set(key.trials))} of {len(key.trials)} trials")
    for each in result.trials:
        known = sorted(key.trials[each.trial].stimuli)
        answered = sorted(each.scores or {}) == known if key.kind == "mushra" else set(_named(each, key.kind)) <= set(known)
        if sorted(each.stimuli) != known or not answered:
            raise UserError(f"{path}: trial {each.trial}: its stimuli and answers are not those of the test: {', '.join(known)}")


def _named(trial: _Trial, kind: Kind) -> list[str | None]:
    """The stimuli that an answer names."""
    if kind == "abx":
        return [trial.x, trial.answer]
    return [] if trial.answer is None else [trial.answer]


def _rows(result: Result, key: Key) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for each in result.trials:
        trial = key.trials[each.trial]
        common = {"listener": result.listener, "session": result.session, "dataset": trial.dataset, "utterance": trial.utterance}
        if key.kind == "mushra":
            scores = each.scores or {}
            rows += [{**common, "system": trial.stimuli[name], "score": score} for name, score in scores.items()]
        else:
            first, second = trial.stimuli.values()
            chosen = trial.stimuli[each.answer] if each.answer is not None else ""
            rows.append({**common, "first": first, "second": second, "chosen": chosen, "right": each.answer == each.x})
    return rows
