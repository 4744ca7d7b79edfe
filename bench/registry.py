"""What there is: one file a codec in codecs/, one file a group of metrics in bench/metrics/; found by listing the folders."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any, cast

from bench.codec import CodecModule
from bench.metric import MetricInfo, MetricModule

RECORDINGS = "recordings"  # no model: audio that was decoded elsewhere (bench/recordings.py)


def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.ispkg and not module.name.startswith("_"))


@cache
def codec_names() -> tuple[str, ...]:
    return tuple(_modules("bench.codecs"))


def codec_module(name: str) -> CodecModule:
    """The module of a codec in `codec_names()`."""
    return cast(CodecModule, cast(Any, importlib.import_module(f"bench.codecs.{name}")))


@cache
def metric_modules() -> dict[str, MetricModule]:
    """Column name -> the module that computes it."""
    modules = {name: importlib.import_module(f"bench.metrics.{name}") for name in _modules("bench.metrics")}
    return {column: cast(MetricModule, cast(Any, module)) for module in modules.values() for column in module.METRICS}


@cache
def metric_infos() -> dict[str, MetricInfo]:
    """Column name -> its facts."""
    return {name: module.METRICS[name] for name, module in metric_modules().items()}
