"""What there is: one file a codec in codecs/, one file a group of metrics in bench/metrics/; found by listing the folders."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from bench.errors import UserError
from bench.metric import MetricModule
from bench.record import MetricInfo

if TYPE_CHECKING:
    from bench.codec import CodecModule

RECORDINGS = "recordings"  # no model: audio that was decoded elsewhere (bench/recordings.py)


def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.ispkg and not module.name.startswith("_"))


@cache
def codec_names() -> tuple[str, ...]:
    return tuple(_modules("bench.codecs"))


def codec_module(name: str) -> CodecModule:
    """The module of a codec in `codec_names()`, or of a file of one's own: "/path/to/my_codec.py"."""
    module = _from_file(name) if name.endswith(".py") else importlib.import_module(f"bench.codecs.{name}")
    return cast("CodecModule", cast(Any, module))


@cache
def _from_file(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_plugin_{Path(path).stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if missing := [name for name in ("INFO", "VERSION", "POINTS", "point", "needs", "load") if not hasattr(module, name)]:
        raise UserError(f"{path}: a codec module needs `{missing[0]}`; see CodecModule in bench/codec.py")
    return module


@cache
def metric_modules() -> dict[str, MetricModule]:
    """Column name -> the module that computes it."""
    modules = {name: importlib.import_module(f"bench.metrics.{name}") for name in _modules("bench.metrics")}
    return {column: cast(MetricModule, cast(Any, module)) for module in modules.values() for column in module.METRICS}


@cache
def metric_infos() -> dict[str, MetricInfo]:
    """Column name -> its facts."""
    return {name: module.METRICS[name].info for name, module in metric_modules().items()}
