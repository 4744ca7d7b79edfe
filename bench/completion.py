"""What a shell completes: names of suites, codecs, metrics and the like, each by the function that `bench list` has for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def of(*choices: str) -> Callable[[str], list[str]]:
    """Completes one of `choices`."""
    return _completing(lambda: choices)


def _completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return sorted(name for name in names() if name.startswith(incomplete))

    return complete


def _listed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completes the last of several names with commas between."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return sorted(f"{before}{comma}{name}" for name in names() if name.startswith(last))

    return complete


def _suites() -> Iterable[str]:
    from bench.suite import packaged_suites

    return packaged_suites()


def _codecs() -> Iterable[str]:
    from bench.registry import codec_names

    return codec_names()


def _metrics() -> Iterable[str]:
    from bench.registry import metric_infos

    return metric_infos()


def _datasets() -> Iterable[str]:
    from bench.datasets import published_samples
    from bench.datasets.known import KNOWN_SETS

    return [*KNOWN_SETS, published_samples.NAME]


def _recipes() -> Sequence[str]:
    from bench.catalogue import recipes

    return [row["recipe"] for row in recipes()]


def _lists() -> Iterable[str]:
    from bench.catalogue import LISTS

    return LISTS


suites, codecs, datasets, recipes, lists = map(_completing, (_suites, _codecs, _datasets, _recipes, _lists))
metrics = _listed(_metrics)
