"""The Python interface, which `import bench` offers: runs, and codecs and metrics on arrays. Heavy imports wait for a call."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.codec import Codec, CodecModule


_REPAIR = "; scale it first: 16-bit integers by 1/32768"


def run(
    suite: str | Path | Mapping[str, Any], out: str | Path | None = None, jobs: int | None = None, device: str = "cpu", **options: Any
) -> pd.DataFrame:
    """Runs what is missing of a suite, and returns its records: a row for each utterance at each point, metrics as columns.

    suite      the path of a file, the name of a suite that comes with the package, or the keys of a suite; paths start in this folder then
    out        folder of the results, as those of `bench run`; by default results/<suite>
    jobs       workers; 1 for none, everything in this process
    options    further ones of `bench.run.session.Options` (limit, timeout_s, skip_unavailable ...)

    What fails is recorded in the column `failures`. Works in notebooks and in scripts, with or without `if __name__ == "__main__"`.
    """
    from rich.console import Console

    from bench.run.session import Options, score
    from bench.suite import find_suite, load_suite, suite_of

    loaded = suite_of(suite, Path(), "suite") if isinstance(suite, Mapping) else load_suite(find_suite(str(suite)))
    folder = Path(out) if out is not None else Path("results") / loaded.name
    return score(loaded, Options(folder, device, jobs, **options), Console(stderr=True, quiet=True))


def load_run(folder: str | Path) -> pd.DataFrame:
    """The records of a finished run; `bench.record` says what the columns are."""
    from bench.run.store import read_run

    return read_run(Path(folder))[0]


def compare(folder: str | Path, baseline: str = "") -> pd.DataFrame:
    """Every point of a run against `baseline` (CODEC@POINT; else the suite's, else the first): paired differences with intervals and tests.

    The columns are those of `bench.analysis.comparison.Difference`.
    """
    import pandas as pd

    from bench.report.results import comparison_of

    return pd.DataFrame(comparison_of(Path(folder), baseline).numbers.differences)


def load_metric(name: str, device: str = "cpu", **options: str) -> Callable[..., float]:
    """A metric that is loaded once, called as `score_pair` without the first argument. `name`: of `bench list metrics`, or my_metric.py."""
    import torch

    from bench import audio, needs
    from bench.dataset import Utterance
    from bench.errors import UserError
    from bench.plugins import is_own
    from bench.recordings import check_length
    from bench.registry import Registry

    registry = Registry()
    if is_own(name):
        columns = registry.add_metrics(str(Path(name).resolve()) if name.endswith(".py") else name)
        if len(columns) > 1:
            raise UserError(f"{name}: holds several metrics: {', '.join(columns)}")
        name = columns[0]
    if name not in registry.metric_modules():
        raise UserError(registry.no_metric(name))
    module = registry.metric_modules()[name]
    needs.require(f"metric '{name}'", module.needs([name], options))
    (metric,) = module.load([name], torch.device(device), options)

    def score(reference: np.ndarray, degraded: np.ndarray, sample_rate: int, text: str | None = None, language: str = "") -> float:
        _check_is_positive(sample_rate)
        signals = [_mono(signal) for signal in (reference, degraded)]
        check_length(len(signals[1]), len(signals[0]), sample_rate)
        first, second = (audio.resample(signal, sample_rate, metric.sample_rate) for signal in signals)
        prepared = metric.prepare(Utterance("", signals[0], sample_rate, text, language=language), first)
        return metric.score(prepared, audio.fit_length(second, len(first)))[name].value

    return score


def score_pair(
    metric: str, reference: np.ndarray, degraded: np.ndarray, sample_rate: int, text: str | None = None, language: str = ""
) -> float:
    """One metric of one pair of signals, float [T] in [-1, 1], both at `sample_rate` Hz. Raises what kept it from a score.

    Lengths may differ by 100 ms or 1 %; the end of `degraded` is then cut or filled with zeros.

    text, language    transcript of the reference and its BCP-47 tag, for metrics such as WER
    """
    return load_metric(metric)(reference, degraded, sample_rate, text, language)


@dataclass(frozen=True)
class Coded:
    """What a codec made of a signal.

    data        the bitstream: all that the decoder receives
    bitrate     bit/s, of tokens and side information
    """

    data: bytes
    bitrate: float


class LoadedCodec:
    """A codec with its weights, on arrays.

    points         names at which it encodes
    sample_rate    Hz, of what it decodes
    """

    def __init__(self, module: CodecModule, codec: Codec) -> None:
        from bench.bitstream import Packer

        self.points, self.sample_rate = dict(module.POINTS), codec.sample_rate
        self._module, self._codec, self._packer = module, codec, Packer(codec)

    def encode(self, audio: np.ndarray, sample_rate: int, point: str = "", **settings: float | str) -> Coded:
        """`audio` float [T] in [-1, 1] at a point by its name, or by its settings (frame_rate=40); without either at the only one."""
        import torch

        from bench.audio import resample
        from bench.codec import check_audio
        from bench.errors import UserError, unknown

        if not settings and not point and len(self.points) == 1:
            (point,) = self.points
        if not settings and not point:
            raise UserError(f"name a point, or its settings: {', '.join(self.points)}")
        if not settings and point not in self.points:
            raise UserError(unknown("point", point, self.points))
        chosen = self._module.point(**settings) if settings else self.points[point]
        _check_is_positive(sample_rate)
        samples = resample(_mono(audio), sample_rate, self.sample_rate or sample_rate)
        with torch.inference_mode():
            encoded = self._codec.encode(self._codec.analyse(check_audio(torch.from_numpy(samples))), chosen)
        packed = self._packer.pack(encoded, chosen)
        return Coded(packed.data, packed.bits_counted * sample_rate / len(audio))

    def decode(self, coded: Coded) -> np.ndarray:
        """float32 [T] at `sample_rate`."""
        import torch

        from bench.bitstream import unpack

        with torch.inference_mode():
            return self._codec.decode(unpack(coded.data)).numpy()


def load_codec(name: str, checkpoint: str | None = None, device: str = "cpu") -> LoadedCodec:
    """A codec by its name, file (my_codec.py) or module, with a checkpoint: a shipped name, a path, a hub file or a URL."""
    import torch

    from bench.commands import known_codec, require
    from bench.registry import codec_module

    name = known_codec(name)
    require(name, checkpoint)
    module = codec_module(name)
    return LoadedCodec(module, module.load(checkpoint, torch.device(device)))


def _mono(signal: Any) -> np.ndarray:
    """float32 [T]; ValueError on anything but one channel of finite floating-point numbers that were scaled to [-1, 1]."""
    import numpy as np

    from bench.audio import check_samples

    given = np.asarray(signal)
    if given.dtype.kind != "f":
        raise ValueError(f"audio is floating point, [T] in [-1, 1]; got {given.dtype}{_REPAIR if given.dtype.kind in 'iu' else ''}")
    if given.ndim != 1:
        raise ValueError(f"audio is one channel, [T]; got the shape {list(given.shape)}")
    try:
        check_samples(given)
    except ValueError as error:
        raise ValueError(f"audio {error}") from None
    return np.ascontiguousarray(given, np.float32)


def _check_is_positive(sample_rate: Any) -> None:
    if not isinstance(sample_rate, numbers.Real) or not 0 < float(sample_rate) < math.inf:
        raise ValueError(f"sample_rate is in Hz, a number above 0; got {sample_rate!r}")
