"""What there is: one file a codec in codecs/, one file several codecs of one design in codecs/series/, one file a group of metrics in
bench/metrics/; found by listing the folders."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache, cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench import plugins
from bench.checkpoint import shipped
from bench.errors import UserError, unknown
from bench.metric import MetricModule
from bench.record import MetricInfo, Record
from bench.simple import codec_of, metrics_of

if TYPE_CHECKING:
    from bench.codec import CodecModule
    from bench.needs import Need
    from bench.suite import MetricSpec

_COLUMN = re.compile(r"\w([\w .+-]*[\w+])?")
_FIELDS = {
    *(field.name for field in fields(Record)),
    *("utterances", "rates_are_stated", "length_error_s", "heard_whole"),
    *("bitrate_tokens", "bitrate_side", "bitrate_header", "bitrate_entropy"),
    *("nominal_frame_rate", "encode_rtf", "decode_rtf"),
    *(f"utterance_mean_{rate}" for rate in ("frame_rate", "token_rate", "bitrate", "nominal_bitrate")),
}
RECORDINGS = "recordings"  # no model: audio that was decoded elsewhere (bench/recordings.py)


class Registry:
    """Codecs and metrics by name. Files of one's own are executed once for each registry."""

    def __init__(self) -> None:
        self._own: dict[str, CodecModule] = {}
        self._metrics: dict[str, MetricModule] | None = None
        self._sources: dict[str, str] = {}  # column -> the file or module of one's own that computes it

    @cached_property
    def _installed(self) -> Mapping[str, Mapping[str, EntryPoint]]:
        return plugins.installed()

    def fresh(self) -> Registry:
        """Another, which executes files of one's own anew: nothing that they keep in themselves is in it."""
        other = Registry()
        other._installed = self._installed
        return other

    def codec_names(self) -> tuple[str, ...]:
        """Of the project, and of installed packages (entry points of `plugins.CODECS`)."""
        return tuple(sorted({*_modules("bench.codecs"), *_in_series(), *self._installed[plugins.CODECS]}))

    def codec_module(self, name: str) -> CodecModule:
        """The module of a codec in `codec_names()`, of a file of one's own ("/path/to/my_codec.py") or of a module ("my_package.codec")."""
        if name in (series := _in_series()):
            return series[name]
        own = self._installed[plugins.CODECS].get(name)
        if own is None and not plugins.is_own(name):
            return cast("CodecModule", cast(Any, importlib.import_module(f"bench.codecs.{name}")))
        if name not in self._own:
            place = name if own is None else own.module
            self._own[name] = codec_of(plugins.load(place), place)
        return self._own[name]

    def codec_file(self, name: str) -> Path | None:
        """The file of a codec of one's own, whose content tells whether it is still the same; None for one of the project."""
        if name.endswith(".py"):
            return Path(name)
        own = self._installed[plugins.CODECS].get(name)
        return plugins.file_of(name if own is None else own.module) if own is not None or plugins.is_own(name) else None

    def codec_lacks(self, name: str) -> list[Need]:
        """What of the needs of a codec in `codec_names()`, with its first shipped checkpoint if it has any, is not on this machine."""
        names = shipped(name)
        return [need for need in self.codec_module(name).needs(names[0] if names else None) if not need.available]

    def metric_lacks(self, column: str) -> list[Need]:
        return [need for need in self.metric_modules()[column].needs([column], {}) if not need.available]

    def no_codec(self, name: str, *also: str) -> str:
        """What to say where `name` is none of `codec_names()`, nor of what else is taken; what can run here is proposed first."""
        names = self.codec_names()
        return unknown("codec", name, [*names, *also], lambda near: near not in names or not self.codec_lacks(near))

    def no_metric(self, name: str, *also: str) -> str:
        """As `no_codec`."""
        known = self.metric_modules()
        return unknown("metric", name, [*known, *also], lambda near: near not in known or not self.metric_lacks(near))

    def metric_modules(self) -> Mapping[str, MetricModule]:
        """Column name -> the module that computes it: of the project, of installed packages, and what was added."""
        if self._metrics is None:
            modules = {name: importlib.import_module(f"bench.metrics.{name}") for name in _modules("bench.metrics")}
            self._metrics = {column: cast(MetricModule, cast(Any, module)) for module in modules.values() for column in module.METRICS}
            for point in self._installed[plugins.METRICS].values():
                self.add_metrics(point.module)
        return self._metrics

    def add_metrics(self, source: str) -> tuple[str, ...]:
        """The columns of a file of one's own ("/path/to/my_metric.py") or a module, known from now on. UserError where one is known."""
        known = cast("dict[str, MetricModule]", self.metric_modules())
        if source not in self._sources.values():
            module = metrics_of(plugins.load(source), source)
            for column in module.METRICS:
                if not _COLUMN.fullmatch(column) or column in _FIELDS:
                    what = (
                        "there is a column of that name in every table"
                        if column in _FIELDS
                        else "no name of a column: letters, digits, _, and within also . + - and spaces"
                    )
                    raise UserError(f"{source}: metric {column!r}: {what}; give it another name")
                if column in known:
                    whose = self._sources.get(column, "this project")
                    raise UserError(f"{source}: metric '{column}' is the name of a metric of {whose}; give it another")
            for column in module.METRICS:
                known[column], self._sources[column] = module, source
        return tuple(column for column, place in self._sources.items() if place == source)

    def metric_file(self, column: str) -> Path | None:
        """The file of a metric of one's own; None for one of the project."""
        source = self._sources.get(column, "")
        return Path(source) if source.endswith(".py") else plugins.file_of(source) if source else None

    def metric_infos(self) -> dict[str, MetricInfo]:
        """Column name -> its facts."""
        return {name: module.METRICS[name].info for name, module in self.metric_modules().items()}


def take_metrics(registry: Registry, specs: Iterable[MetricSpec]) -> None:
    """Has `registry` know the metrics of one's own among those of a suite."""
    for source in dict.fromkeys(spec.source for spec in specs if spec.source):
        registry.add_metrics(source)


@cache
def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.ispkg and not module.name.startswith("_"))


@cache
def _in_series() -> dict[str, CodecModule]:
    """The codecs that a file of codecs/series/ lists in CODECS, by name."""
    modules = [importlib.import_module(f"bench.codecs.series.{name}") for name in _modules("bench.codecs.series")]
    return {name: codec for module in modules for name, codec in module.CODECS.items()}


_SHARED = Registry()
codec_names = _SHARED.codec_names
no_codec = _SHARED.no_codec
codec_module = _SHARED.codec_module
metric_modules = _SHARED.metric_modules
metric_infos = _SHARED.metric_infos
