"""What happens in a worker: a codec is loaded once, an utterance analysed once, and every point packed, unpacked, decoded and scored."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bench import audio
from bench.bitstream import entropy_pack, pack, unpack
from bench.codec import Codec, Encoded, OperatingPoint, check_audio, nominal_bitrate
from bench.dataset import Entry as Source
from bench.dataset import Utterance
from bench.metric import Metric, MetricFailure, NotApplicable
from bench.record import CODEC, Record, Score
from bench.recordings import Recording
from bench.registry import codec_module, metric_modules
from bench.suite import Entry, MetricSpec

R = TypeVar("R")
_KEPT_REFERENCES = 16  # utterances whose prepared reference stays in memory: up to 9 MB each


@dataclass(frozen=True)
class Describe:
    """Asks for the facts of a loaded codec, and for its tuned points, for which it analyses `sources`."""

    entry: Entry
    device: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Description:
    parameters: int
    weights_sha256: str
    sample_rate: int
    hop_length: int
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Cell:
    """One point of one utterance: the record's identity, and the columns that it still lacks."""

    record: Record
    point: OperatingPoint
    missing: tuple[str, ...]
    recording: Recording | None = None


@dataclass(frozen=True)
class Measure:
    """All that is missing of one utterance with one codec."""

    entry: Entry
    device: str
    source: Source
    cells: tuple[Cell, ...]
    metrics: tuple[MetricSpec, ...]  # of the suite: loaded together, whatever a cell lacks
    folder: Path


@dataclass(frozen=True)
class Failed:
    reason: str


def describe(task: Describe) -> Description | Failed:
    return _attempt(_describe, task)


def _describe(task: Describe) -> Description:
    codec = _load_codec(task.entry.module, task.entry.checkpoint, task.device)
    points = []
    for point in task.entry.points:
        if hasattr(codec, "at_own_rate"):
            point = codec.at_own_rate(point)
        if "target_frame_rate" in point.options and hasattr(codec, "tune"):
            with torch.inference_mode():
                latents = (codec.analyse(_codec_input(codec, source.read())) for source in task.sources)
                point = codec.tune(latents, point)
        points.append(point)
    return Description(codec.parameters, codec.weights_sha256, codec.sample_rate, codec.hop_length, tuple(points))


def measure(task: Measure) -> list[Record]:
    """A record of each of a task's cells, with what could be scored and the reason for what could not."""
    made = _decode(task)
    failed = [
        dataclasses.replace(cell.record, failures={CODEC: each.reason})
        for cell, each in zip(task.cells, made, strict=True)
        if isinstance(each, Failed)
    ]
    return [*failed, *_scored([each for each in made if isinstance(each, _Decoded)], task)]


_Outcome = Mapping[str, Score] | NotApplicable | Failed


@dataclass
class _Decoded:
    """The audio of a cell, which waits for that of the others: a recogniser hears all points of an utterance together.

    record      what is known but for the scores
    outcomes    by column, as one metric after the other fills them
    """

    cell: Cell
    record: Record
    reference: Utterance
    samples: np.ndarray
    outcomes: dict[str, _Outcome] = field(default_factory=dict)
    _at_rate: dict[int, np.ndarray] = field(default_factory=dict)

    def at(self, sample_rate: int) -> np.ndarray:
        """The audio at a rate that some metric asks for; resampled once."""
        if sample_rate not in self._at_rate:
            self._at_rate[sample_rate] = audio.resample(self.samples, self.record.sample_rate, sample_rate)
        return self._at_rate[sample_rate]


def _decode(task: Measure) -> list[_Decoded | Failed]:
    """The audio of each cell."""
    utterance = _attempt(_read, task.source)
    if isinstance(utterance, Failed):
        return [Failed(f"reading: {utterance.reason}")] * len(task.cells)
    if task.cells[0].recording is not None:
        return [_attempt(_load_recording, cell, utterance) for cell in task.cells]
    codec = _attempt(_load_codec, task.entry.module, task.entry.checkpoint, task.device)
    analysed = codec if isinstance(codec, Failed) else _attempt(_analyse, codec, utterance)
    if isinstance(analysed, Failed):
        return [Failed(f"analyse: {analysed.reason}")] * len(task.cells)
    return [_attempt(_code, codec, analysed, cell, task.folder) for cell in task.cells]


@dataclass(frozen=True)
class _Analysed:
    utterance: Utterance
    latent: Any
    num_samples: int
    sample_rate: int
    seconds: float  # of computation


def _analyse(codec: Codec, utterance: Utterance) -> _Analysed:
    samples = _codec_input(codec, utterance)
    with torch.inference_mode():
        started = time.perf_counter()
        latent = codec.analyse(samples)
        _wait_for_device()
    return _Analysed(utterance, latent, len(samples), codec.sample_rate or utterance.sample_rate, time.perf_counter() - started)


def _code(codec: Codec, analysed: _Analysed, cell: Cell, folder: Path) -> _Decoded:
    """Encodes, packs, unpacks and decodes; raises where the codec breaks its contract."""
    with torch.inference_mode():
        started = time.perf_counter()
        encoded = codec.encode(analysed.latent, cell.point)
        _wait_for_device()
        encode_s = time.perf_counter() - started
        packed = pack(encoded)
        received = unpack(packed.data)
        started = time.perf_counter()
        decoded = codec.decode(received)
        _wait_for_device()
        decode_s = time.perf_counter() - started
    if decoded.shape != (analysed.num_samples,):
        raise ValueError(f"decode gave the shape {list(decoded.shape)}, the audio has [{analysed.num_samples}]")
    if not bool(torch.isfinite(decoded).all()):
        raise ValueError("decode gave NaN or infinite samples")
    samples = decoded.float().numpy()
    record = dataclasses.replace(
        cell.record,
        sample_rate=analysed.sample_rate,
        hop_length=codec.hop_length,
        **_rates(encoded, cell, packed.bits_tokens, packed.bits_side),
        bits_total=packed.bits_total,
        bits_entropy=_entropy_bits(encoded),
        encode_s=analysed.seconds + encode_s,
        decode_s=decode_s,
        peak_memory_mb=_peak_memory_mb(),
    )
    audio.write(folder / record.audio_file, samples, analysed.sample_rate)
    if record.stream_file:
        (folder / record.stream_file).parent.mkdir(parents=True, exist_ok=True)
        (folder / record.stream_file).write_bytes(packed.data)
    return _Decoded(cell, record, analysed.utterance, samples)


def _rates(encoded: Encoded, cell: Cell, bits_tokens: int, bits_side: int) -> dict[str, Any]:
    duration_s = cell.record.duration_s
    packets = len(encoded.packets) if cell.point.frame_rate else 0  # a codec without frames has no rate of them
    frames = sum(stream.num_frames for stream in encoded.streams) or packets
    tokens = sum(stream.tokens.numel() for stream in encoded.streams)
    return {
        "token_frames": frames,
        "frame_rate": frames / duration_s,
        "token_rate": tokens / duration_s,
        "bits_tokens": bits_tokens,
        "bits_side": bits_side,
        "bitrate": (bits_tokens + bits_side) / duration_s,
        "nominal_bitrate": nominal_bitrate(encoded, duration_s),
    }


def _entropy_bits(encoded: Encoded) -> int:
    packed = entropy_pack(encoded)
    return packed.bits_tokens + packed.bits_side


def _load_recording(cell: Cell, utterance: Utterance) -> _Decoded:
    recording = cell.recording
    assert recording is not None
    if recording.reference is not None:
        samples, sample_rate = audio.read(recording.reference)
        utterance = dataclasses.replace(utterance, audio=samples, sample_rate=sample_rate)
    decoded, sample_rate = audio.read(recording.path)
    expected = round(len(utterance.audio) * sample_rate / utterance.sample_rate)
    record = dataclasses.replace(
        cell.record,
        duration_s=utterance.duration_s,
        sample_rate=sample_rate,
        frame_rate=recording.frame_rate,
        token_rate=recording.frame_rate * recording.n_q,
        bitrate=recording.bitrate,
        nominal_bitrate=recording.bitrate,
        length_error=len(decoded) - expected,
        audio_file=str(recording.path),
    )
    return _Decoded(cell, record, utterance, decoded)


def _scored(decoded: Sequence[_Decoded], task: Measure) -> list[Record]:
    """Asks each metric for what cells lack, once for all that share a reference."""
    for names, metric in _metrics(tuple((spec.metric, tuple(sorted(spec.options.items()))) for spec in task.metrics), task.device):
        lacking = [each for each in decoded if any(name in each.cell.missing for name in names)]
        for _, group in groupby(lacking, key=lambda each: each.reference.audio_sha256):  # a recording may name a reference of its own
            together = list(group)
            for each, outcome in zip(together, _outcomes(metric, together), strict=True):
                each.outcomes.update({name: outcome for name in names if name in each.cell.missing})
    return [_with_outcomes(each.record, each.outcomes) for each in decoded]


def _outcomes(metric: Metric | Failed, decoded: Sequence[_Decoded]) -> Sequence[_Outcome]:
    """What `metric` has to say of signals that share a reference."""
    if isinstance(metric, Failed):
        return [metric] * len(decoded)
    ready = _attempt(_unless_inapplicable, _prepared, metric, decoded)
    if isinstance(ready, (Failed, NotApplicable)):
        return [ready] * len(decoded)
    prepared, signals = ready
    if len(signals) > 1 and hasattr(metric, "score_batch"):
        scores = _attempt(metric.score_batch, prepared, signals)
        if not isinstance(scores, Failed):
            return scores
    return [_attempt(_unless_inapplicable, metric.score, prepared, signal) for signal in signals]


def _prepared(metric: Metric, decoded: Sequence[_Decoded]) -> tuple[Any, list[np.ndarray]]:
    """The prepared reference, and the degraded signals at its rate and of its length."""
    reference, prepared = _REFERENCES.prepared(metric, decoded[0].reference)
    return prepared, [audio.fit_length(each.at(metric.sample_rate), len(reference)) for each in decoded]


def _unless_inapplicable(function: Callable[..., R], *arguments: Any) -> R | NotApplicable:
    try:
        return function(*arguments)
    except NotApplicable as reason:
        return reason


def _with_outcomes(record: Record, outcomes: Mapping[str, _Outcome]) -> Record:
    scores: dict[str, Score] = {}
    failures: dict[str, str] = {}
    not_applicable: dict[str, str] = {}
    for name, outcome in outcomes.items():
        if isinstance(outcome, Failed):
            failures[name] = outcome.reason
        elif isinstance(outcome, NotApplicable):
            not_applicable[name] = str(outcome)
        elif not math.isfinite(outcome[name].value):
            failures[name] = f"the metric gave {outcome[name].value}"
        else:
            scores[name] = outcome[name]
    return dataclasses.replace(record, scores=scores, failures=failures, not_applicable=not_applicable)


class _References:
    """prepare() memoised by metric and utterance; the audio at each metric's rate is resampled once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[Any, Any]] = OrderedDict()

    def prepared(self, metric: Metric, utterance: Utterance) -> tuple[np.ndarray, Any]:
        memo = self._kept.setdefault(utterance.audio_sha256, {})
        self._kept.move_to_end(utterance.audio_sha256)
        while len(self._kept) > _KEPT_REFERENCES:
            self._kept.popitem(last=False)
        rate = metric.sample_rate
        if rate not in memo:
            memo[rate] = audio.resample(utterance.audio, utterance.sample_rate, rate)
        if metric.names not in memo:
            memo[metric.names] = metric.prepare(utterance, memo[rate])
        return memo[rate], memo[metric.names]


_REFERENCES = _References()


@lru_cache(maxsize=1)
def _load_codec(module: str, checkpoint: str | None, device: str) -> Codec:
    return codec_module(module).load(checkpoint, torch.device(device))


@lru_cache(maxsize=32)
def _read(source: Source) -> Utterance:
    return source.read()


@lru_cache(maxsize=1)
def _metrics(columns: tuple[tuple[str, tuple[tuple[str, str], ...]], ...], device: str) -> list[tuple[tuple[str, ...], Metric | Failed]]:
    """The metrics that fill `columns` (name, options), with the names that each fills; loaded once a process."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for name, options in columns:
        groups.setdefault((metric_modules()[name].__name__, options), []).append(name)
    loaded: list[tuple[tuple[str, ...], Metric | Failed]] = []
    for (_, options), names in groups.items():
        metrics = _attempt(metric_modules()[names[0]].load, names, torch.device(device), dict(options))
        if isinstance(metrics, Failed):
            loaded.append((tuple(names), metrics))
        else:
            loaded += [(metric.names, metric) for metric in metrics]
    return loaded


def _codec_input(codec: Codec, utterance: Utterance) -> torch.Tensor:
    rate = codec.sample_rate or utterance.sample_rate
    return check_audio(torch.from_numpy(audio.resample(utterance.audio, utterance.sample_rate, rate)))


def _wait_for_device() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _peak_memory_mb() -> float:
    """Of the process so far, and of the GPU where one is in use."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return peak + (torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_initialized() else 0.0)


def _attempt(function: Callable[..., R], *arguments: Any) -> R | Failed:
    """The one place where a failure is caught: it becomes the reason in a record."""
    try:
        return function(*arguments)
    except MetricFailure as failure:
        return Failed(str(failure))
    except Exception as error:  # noqa: BLE001
        return Failed(f"{type(error).__name__}: {error}".strip().splitlines()[0][:300])
