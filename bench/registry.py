"""What there is: one file a codec in codecs/, one file several codecs of one design in codecs/series/, one file a group of metrics in
bench/metrics/; found by listing the folders."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import traceback
from collections.abc import Mapping
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


class Registry:
    """Codecs and metrics by name. Modules of one's own are executed once for each registry."""

    def __init__(self) -> None:
        self._own: dict[str, ModuleType] = {}
        self._metrics: dict[str, MetricModule] | None = None

    def fresh(self) -> Registry:
        """Another, which executes modules of one's own anew: nothing that they keep in themselves is in it."""
        return Registry()

    def codec_names(self) -> tuple[str, ...]:
        return tuple(sorted((*_modules("bench.codecs"), *_in_series())))

    def codec_module(self, name: str) -> CodecModule:
        """The module of a codec in `codec_names()`, or of a file of one's own: "/path/to/my_codec.py"."""
        if name in (series := _in_series()):
            return series[name]
        if not name.endswith(".py"):
            return cast("CodecModule", cast(Any, importlib.import_module(f"bench.codecs.{name}")))
        if name not in self._own:
            self._own[name] = _from_file(name)
        return cast("CodecModule", cast(Any, self._own[name]))

    def metric_modules(self) -> Mapping[str, MetricModule]:
        """Column name -> the module that computes it."""
        if self._metrics is None:
            modules = {name: importlib.import_module(f"bench.metrics.{name}") for name in _modules("bench.metrics")}
            self._metrics = {column: cast(MetricModule, cast(Any, module)) for module in modules.values() for column in module.METRICS}
        return self._metrics

    def metric_infos(self) -> dict[str, MetricInfo]:
        """Column name -> its facts."""
        return {name: module.METRICS[name].info for name, module in self.metric_modules().items()}


@cache
def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.ispkg and not module.name.startswith("_"))


@cache
def _in_series() -> dict[str, CodecModule]:
    """The codecs that a file of codecs/series/ lists in CODECS, by name."""
    modules = [importlib.import_module(f"bench.codecs.series.{name}") for name in _modules("bench.codecs.series")]
    return {name: codec for module in modules for name, codec in module.CODECS.items()}


def _from_file(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_plugin_{Path(path).stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{error.filename or path}:{error.lineno or 1}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}:{lines[-1] if lines else 1}: {reason}") from error
    if missing := [name for name in ("INFO", "VERSION", "POINTS", "point", "needs", "load") if not hasattr(module, name)]:
        raise UserError(f"{path}: a codec module needs `{missing[0]}`; see CodecModule in bench/codec.py")
    return module


_SHARED = Registry()
codec_names = _SHARED.codec_names
codec_module = _SHARED.codec_module
metric_modules = _SHARED.metric_modules
metric_infos = _SHARED.metric_infos
