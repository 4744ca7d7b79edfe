"""Codecs and metrics of one's own in a few lines: a class or a function with a decorator, which fills in the rest of the contract."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from bench.codec import CodecInfo, CodecModule, Encoded, Kind, OperatingPoint, Stream
from bench.dataset import Utterance
from bench.errors import UserError, unknown
from bench.metric import Audio, Metric, MetricEntry, MetricFailure, MetricModule, loader
from bench.needs import GIVE_CHECKPOINT, Need, require, weights
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
_CODEC, _METRIC = "_bench_codec", "_bench_metric"  # attributes of what is decorated
_SHOWN = 60  # characters of what a function returned, in a message
Setting = float | str


def codec(
    *,
    sample_rate: int,
    hop_length: int,
    codebook_size: int | tuple[int, ...],
    points: Mapping[str, Mapping[str, Setting]] | None = None,
    max_duration: int = 1,
    title: str = "",
    licence: str = "not stated",
    version: int = 1,
) -> Callable[[type[T]], type[T]]:
    """Makes a codec of a class with `encode` and `decode`; its file, or the module's path, is then a codec's name everywhere.

    sample_rate, hop_length   Hz; samples that one frame of tokens stands for
    codebook_size   of all codebooks, or of each
    points          name -> keywords that encode() is called with; `frame_rate` (Hz) and `n_q` are shown in tables too
    max_duration    of a dynamic codec, whose encode() returns durations too: the longest, in frames of `hop_length`
    version         to be raised when the same input gives other tokens or audio, though neither code nor checkpoint changed

    The class:

    __init__(self[, checkpoint][, device])   checkpoint: the path of a file; without such a parameter the codec takes none
    encode(self, audio, **settings)          float32 [T] -> integers [F] or [N_q, F]; of a dynamic codec (tokens, durations [F])
    decode(self, tokens[, durations])        int64 [N_q, F] -> floating point [T], whose end is cut or filled with zeros to the length

    Audio and tokens come on the device. Modules of PyTorch that the class is, or has as attributes, are moved there and set to eval().
    """

    def mark(made: type[T]) -> type[T]:
        sizes = tuple(codebook_size) if isinstance(codebook_size, (tuple, list)) else (codebook_size,)
        kind: Kind = "dynamic" if max_duration > 1 else "fixed"
        info = CodecInfo(kind, title or made.__name__, licence)
        setattr(made, _CODEC, _SimpleCodec(made, info, version, sample_rate, hop_length, sizes, points or {"default": {}}, max_duration))
        return made

    return mark


class _SimpleCodec:
    """The CodecModule of a decorated class."""

    def __init__(
        self,
        made: type,
        info: CodecInfo,
        version: int,
        sample_rate: int,
        hop_length: int,
        sizes: tuple[int, ...],
        points: Mapping[str, Mapping[str, Setting]],
        max_duration: int,
    ) -> None:
        for name in ("encode", "decode"):
            if not callable(getattr(made, name, None)):
                raise TypeError(f"class {made.__name__} needs `{name}`")
        numbers = [("sample_rate", sample_rate), ("hop_length", hop_length), ("max_duration", max_duration)]
        for what, value in [*numbers, *(("codebook_size", size) for size in sizes or (None,))]:
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{what} is a whole number of at least 1, not {value!r}")
        self.INFO, self.VERSION = info, version
        self._made, self._rates = made, (sample_rate, hop_length)
        self._sizes, self._max_duration = sizes, max_duration
        self._settings = list(inspect.signature(made.encode).parameters)[2:]  # type: ignore[attr-defined]
        self._takes = inspect.signature(made).parameters
        if not isinstance(points, Mapping) or not all(isinstance(each, Mapping) for each in points.values()):
            raise TypeError("points is a mapping of names to mappings of settings: {'wide': {'peak': 1.0}}")
        self.POINTS = {name: self._point(name, settings) for name, settings in points.items()}

    def point(self, **settings: Setting) -> OperatingPoint:
        return self._point("_".join(f"{name}{value}" for name, value in settings.items()), settings)

    def _point(self, name: str, settings: Mapping[str, Setting]) -> OperatingPoint:
        if not isinstance(name, str):
            raise TypeError(f"a point's name is a text, not {name!r}")
        for setting, value in settings.items():
            if not isinstance(value, (str, int, float)):
                raise TypeError(f"{name}: {setting} is a number or a text, not {type(value).__name__}; make a number of it with float()")
            if setting not in self._settings:
                raise ValueError(unknown("setting", setting, self._settings))
        sample_rate, hop_length = self._rates
        frame_rate, n_q = settings.get("frame_rate", sample_rate / hop_length), settings.get("n_q", len(self._sizes))
        return OperatingPoint(name, float(frame_rate), int(n_q), dict(settings))

    def needs(self, checkpoint: str | None) -> list[Need]:
        title = self.INFO.title
        if "checkpoint" not in self._takes:
            if checkpoint is not None:
                raise UserError(f"codec '{title}' takes no checkpoint: its __init__ has no parameter of that name")
            return []
        if checkpoint is not None:
            return [weights(title, checkpoint)]
        required = self._takes["checkpoint"].default is inspect.Parameter.empty
        return [Need("weights", f"{title} checkpoint", False, GIVE_CHECKPOINT)] if required else []

    def load(self, checkpoint: str | None, device: torch.device) -> _Loaded:
        from bench.checkpoint import resolve, sha256

        require(f"codec '{self.INFO.title}'", self.needs(checkpoint))
        file = None if checkpoint is None else resolve(checkpoint, self.INFO.title)
        given = {"checkpoint": None if file is None else str(file), "device": device}
        codec = self._made(**{name: value for name, value in given.items() if name in self._takes})
        return _Loaded(codec, device, *self._rates, self._sizes, self._max_duration, "" if file is None else sha256(file))


class _Loaded:
    """The Codec around an instance of a decorated class."""

    def __init__(
        self,
        codec: Any,
        device: torch.device,
        sample_rate: int,
        hop_length: int,
        sizes: tuple[int, ...],
        max_duration: int,
        weights_sha256: str,
    ) -> None:
        import torch

        modules = [codec] if isinstance(codec, torch.nn.Module) else [m for m in vars(codec).values() if isinstance(m, torch.nn.Module)]
        for module in modules:
            module.to(device).eval()
        self._codec, self._device, self._sizes, self._max_duration = codec, device, sizes, max_duration
        self.sample_rate, self.hop_length, self.weights_sha256 = sample_rate, hop_length, weights_sha256
        self.parameters = sum(weight.numel() for module in modules for weight in module.parameters())

    def analyse(self, audio: Tensor) -> Tensor:
        return audio

    def encode(self, latent: Tensor, point: OperatingPoint) -> Encoded:
        made = self._codec.encode(latent.to(self._device, copy=True), **point.options)
        if isinstance(made, tuple) != (self._max_duration > 1):
            raise TypeError("encode() of a codec with `max_duration` returns (tokens, durations), of any other tokens alone")
        tokens, durations = made if isinstance(made, tuple) else (made, None)
        tokens = _integers(tokens, "tokens")
        tokens = tokens[None] if tokens.ndim == 1 else tokens
        sizes = self._sizes * len(tokens) if len(self._sizes) == 1 else self._sizes[: len(tokens)]
        stream = Stream(tokens, sizes, None if durations is None else _integers(durations, "durations"), self._max_duration)
        return Encoded((stream,), len(latent))

    def decode(self, encoded: Encoded) -> Tensor:
        import torch

        (stream,) = encoded.streams
        sent = [stream.tokens] if stream.durations is None else [stream.tokens, stream.durations]
        made = _tensor(self._codec.decode(*(each.to(self._device) for each in sent)), "decode() gave")
        if not made.is_floating_point():
            raise TypeError(f"decode() gave audio of {made.dtype}; it is floating point, [T] in [-1, 1]")
        audio = made.float().reshape(-1)
        lacking = encoded.num_samples - len(audio)
        if abs(lacking) > 2 * self.hop_length:
            raise ValueError(f"decode() gave {len(audio)} samples of {encoded.num_samples}: more than two frames too few or too many")
        return torch.nn.functional.pad(audio, (0, lacking))


def _tensor(values: Any, what: str) -> Tensor:
    """On the CPU; TypeError where it is no array of numbers."""
    import torch

    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what} {type(values).__name__}, which is no tensor") from None


def _integers(values: Any, what: str) -> Tensor:
    """int64 on the CPU."""
    import torch

    found = _tensor(values, f"encode() gave {what}:")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(f"encode() gave {what} of {found.dtype}; they are integers")
    return found.long()


def metric(
    *,
    higher_is_better: bool,
    unit: str = "",
    sample_rate: int = 16000,
    name: str = "",
    definition: str = "",
    version: int = 1,
    diagnostic: bool = False,
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Makes a metric of a function `(reference, degraded, sample_rate) -> float`: float32 [T] each, of one length, at `sample_rate` in Hz.

    name    of its column; without one the function's
    Other arguments as in `bench.record.MetricInfo`. What the function raises, and NaN, is a recorded failure.
    """

    def mark(function: Callable[..., float]) -> Callable[..., float]:
        told = definition or (function.__doc__ or "").strip().split("\n")[0]
        facts = (name or function.__name__, unit, version, sample_rate, higher_is_better, told, function.__module__)
        info = MetricInfo(*facts, diagnostic=diagnostic)
        setattr(function, _METRIC, MetricEntry(info, lambda *_: _SimpleMetric(function, info)))
        return function

    return mark


class _SimpleMetric:
    """The Metric around a decorated function."""

    def __init__(self, function: Callable[..., float], info: MetricInfo) -> None:
        self.names, self.sample_rate = (info.name,), info.sample_rate
        self._function = function

    def prepare(self, reference: Utterance, audio: Audio) -> Audio:
        return audio

    def score(self, prepared: Audio, degraded: Audio) -> Mapping[str, Score]:
        value = _number(self._function(prepared.copy(), degraded.copy(), self.sample_rate))
        if not math.isfinite(value):
            raise MetricFailure(f"gave {value}")
        return {self.names[0]: Score(value)}


def _number(given: Any) -> float:
    """MetricFailure where it is anything but one number: a text that reads as one, too."""
    try:
        if not (isinstance(given, (str, bytes)) or np.iscomplexobj(given)):
            return float(given.detach() if hasattr(given, "detach") else given)
    except (TypeError, ValueError, RuntimeError):
        pass
    what = repr(given) if given is None or isinstance(given, (str, bytes)) else type(given).__name__
    raise MetricFailure(f"gave {what[:_SHOWN]}; a metric returns one number")


class _SimpleMetrics:
    """The MetricModule of a file's decorated functions."""

    def __init__(self, name: str, metrics: Mapping[str, MetricEntry]) -> None:
        self.__name__ = name
        self.METRICS = metrics
        self._load = loader(metrics)

    def needs(self, names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
        for option in options:
            raise UserError(f"metric option '{option}': the metric has none")
        return []

    def load(self, names: Sequence[str], device: torch.device, options: Mapping[str, str]) -> Sequence[Metric]:
        return self._load(names, device, options)


def codec_of(module: ModuleType, name: str) -> CodecModule:
    """What of `module` is the codec: the module itself, or its one decorated class. UserError says what is missing."""
    if missing := [each for each in ("INFO", "VERSION", "POINTS", "point", "needs", "load") if not hasattr(module, each)]:
        made = [vars(value)[_CODEC] for value in vars(module).values() if isinstance(value, type) and _CODEC in vars(value)]
        if len(made) > 1:
            raise UserError(f"{name}: holds {len(made)} codecs; a file is one")
        if not made:
            raise UserError(f"{name}: a codec needs `{missing[0]}`, or a class with the decorator `bench.simple.codec`; see bench/codec.py")
        return made[0]
    told = cast(Any, module)
    if not isinstance(told.INFO, CodecInfo):
        raise UserError(f"{name}: INFO is no CodecInfo (bench/codec.py)")
    if not (isinstance(told.POINTS, Mapping) and all(isinstance(point, OperatingPoint) for point in told.POINTS.values())):
        raise UserError(f"{name}: POINTS is no mapping of names to OperatingPoint (bench/codec.py)")
    return cast(CodecModule, told)


def metrics_of(module: ModuleType, name: str) -> MetricModule:
    """What of `module` are metrics: the module itself, or its decorated functions."""
    if all(hasattr(module, each) for each in ("METRICS", "needs", "load")):
        return module  # type: ignore[return-value]
    found = [getattr(value, _METRIC) for value in vars(module).values() if hasattr(value, _METRIC)]
    if not found:
        raise UserError(f"{name}: holds no metric: a function with the decorator `bench.simple.metric`; see bench/metric.py for more")
    names = [entry.info.name for entry in found]
    if twice := [each for each in names if names.count(each) > 1]:
        raise UserError(f"{name}: metric '{twice[0]}' comes twice")
    return _SimpleMetrics(name, {entry.info.name: entry for entry in found})
