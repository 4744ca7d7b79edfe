"""The contract of a metric: facts on each column, what is prepared once per reference, and a score or a raised reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from bench.dataset import Utterance
from bench.needs import Need
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    import torch

    from bench.codec import Codec, Encoded, OperatingPoint

Audio = np.ndarray  # float32 [T], mono


class Metric(Protocol):
    """One computation, which may fill several columns (DNSMOS gives four from one pass).

    `names` are the columns; `sample_rate` holds for all of them. score() raises what went wrong (`MetricFailure` where the reason
    is known); it never guesses.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def sample_rate(self) -> int: ...

    def prepare(self, reference: Utterance, audio: Audio) -> Any:
        """What all codecs share, from `audio`: the reference at `sample_rate`. Once per utterance."""
        ...

    def score(self, prepared: Any, degraded: Audio) -> Mapping[str, Score]:
        """A score for each of `names`; `degraded` has the length and rate of the prepared audio."""
        ...


class BatchMetric(Metric, Protocol):
    """A metric that takes less time for several signals together than one by one (recognisers), and gives them the same scores."""

    def score_batch(self, prepared: Any, degraded: Sequence[Audio]) -> Sequence[Mapping[str, Score]]:
        """What score() gives for each of `degraded`, in their order. Where it raises, each is scored alone."""
        ...


@dataclass(frozen=True)
class Sent:
    """What decoded audio was made from.

    encoded       as it was received; None where its stream is not kept (classical coders)
    point         at which it was encoded
    audio         what was decoded, at the codec's own `sample_rate` (Hz)
    hop_length    samples of a base frame
    codec         gives the loaded codec
    """

    encoded: Encoded | None
    point: OperatingPoint
    audio: Audio
    sample_rate: int
    hop_length: int
    codec: Callable[[], Codec]


class StreamMetric(Metric, Protocol):
    """A metric that looks at more than decoded audio; its facts say `of_stream`. score() is for audio of which nothing else is known."""

    def score_stream(self, prepared: Any, degraded: Audio, sent: Sent) -> Mapping[str, Score]: ...


class MetricFailure(Exception):
    """A metric that can not be computed on this input, with the reason ("no speech found")."""


class NotApplicable(Exception):
    """A metric that has no meaning on this input (no transcript, another language): neither a score nor a failure."""


class MetricEntry(NamedTuple):
    """What stands in METRICS under a column's name: its facts, and what makes the metric that fills it.

    factory   called once for all the columns asked for that share it, with their names first (see `loader`)
    """

    info: MetricInfo
    factory: Callable[..., Metric]


def entries(factory: Callable[..., Metric], *infos: MetricInfo) -> dict[str, MetricEntry]:
    """Columns that one factory makes the metric for, by name."""
    return {info.name: MetricEntry(info, factory) for info in infos}


def _unshared(device: torch.device, options: Mapping[str, str]) -> tuple[Any, ...]:
    return device, options


def loader(
    metrics: Mapping[str, MetricEntry], shared: Callable[[torch.device, Mapping[str, str]], tuple[Any, ...]] = _unshared
) -> Callable[[Sequence[str], torch.device, Mapping[str, str]], Sequence[Metric]]:
    """The `load` of a module: each factory is called with the names of its columns and what `shared` gives of (device, options)."""

    def load(names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
        groups: dict[Callable[..., Metric], list[str]] = {}
        for name in names:
            groups.setdefault(metrics[name].factory, []).append(name)
        common = shared(device, options)
        return [factory(tuple(group), *common) for factory, group in groups.items()]

    return load


class MetricModule(Protocol):
    """A file in bench/metrics/ is the registry entry of the columns it names. Importing it imports nothing heavy, torch included."""

    __name__: str
    METRICS: Mapping[str, MetricEntry]

    def needs(self, names: Sequence[str], options: Mapping[str, str]) -> list[Need]: ...

    def load(self, names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
        """The metrics that fill `names`; what they share is loaded once. `options` come from a suite's `{metric: ..., key: value}`."""
        ...
