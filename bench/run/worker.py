"""A worker: it loads a codec once, analyses an utterance once, packs, unpacks and decodes every point, and scores decoded audio."""

from __future__ import annotations

import dataclasses
import io
import math
import resource
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import torch

from bench import audio
from bench.bitstream import Packer, unpack
from bench.codec import Codec, Encoded, OperatingPoint, check_audio, nominal_bitrate
from bench.conformance import same_audio
from bench.dataset import Entry as Source
from bench.dataset import Utterance
from bench.metric import Metric, MetricFailure, MetricModule, NotApplicable, Sent
from bench.record import Column, Score
from bench.recordings import Recording, check_length
from bench.registry import take_metrics
from bench.run.failure import BrokenContract, attempt
from bench.run.process import CALL, LOAD
from bench.run.surroundings import Surroundings
from bench.run.tasks import (
    CheckTask,
    DecodeCell,
    Decoded,
    DecodeTask,
    DescribeTask,
    Description,
    Failed,
    Outcome,
    ScoreCell,
    Scored,
    ScoreTask,
)
from bench.run.tokens import TokenCounts
from bench.suite import Entry, MetricSpec

K = TypeVar("K")
V = TypeVar("V")
FULL_SCALE = 2**23  # of the 24 bits in which decoded audio is stored and scored
_KEPT = 16  # utterances whose audio and prepared reference stay in memory: up to 9 MB each


class Worker:
    """The models of one process and device, and the references that it has prepared.

    registry   what finds codecs and metrics by name (bench/registry.py)
    metrics    of the suite: those of one file are loaded together, when the first of their columns is asked for
    beat       called with CALL or LOAD before every call into a codec or metric: the time that it may take begins again
    """

    def __init__(self, registry: Any, device: str, metrics: Sequence[MetricSpec], beat: Callable[[str], None]) -> None:
        self._registry = registry
        self._device = torch.device(device)
        self._beat = beat
        self._codec: tuple[tuple[str, str | None], Codec] | None = None
        self._packer: Packer | None = None  # of that codec
        take_metrics(registry, metrics)
        self._groups = _groups(registry, metrics)
        self._utterances: OrderedDict[Source, Utterance] = OrderedDict()
        self._references: OrderedDict[str, dict[Any, Any]] = OrderedDict()
        self._surroundings = Surroundings()

    def handle(self, task: Any) -> Any:
        """The result of a task, whatever a codec or metric does, short of ending the process."""
        self._surroundings.begin(task.seed)
        self._beat(LOAD)
        calls: dict[type, Callable[[Any], Any]] = {
            DescribeTask: self._describe,
            DecodeTask: self._decode,
            CheckTask: self._check,
            ScoreTask: self._score,
        }
        try:
            return calls[type(task)](task)
        finally:
            self._surroundings.put_back()  # in one process what stores the result is next

    def close(self) -> None:
        self._surroundings.restore()

    def _describe(self, task: DescribeTask) -> Description | Failed:
        return attempt(self._description, task, module=task.entry.module)

    def _description(self, task: DescribeTask) -> Description:
        codec = self._load(task.entry)
        points = []
        for point in task.entry.points:
            if hasattr(codec, "at_own_rate"):
                point = codec.at_own_rate(point)
            if "target_frame_rate" in point.options and hasattr(codec, "tune"):
                with torch.inference_mode():
                    point = codec.tune(self._latents(codec, task.sources), point)
            points.append(point)
        return Description(codec.parameters, tuple(points))

    def _latents(self, codec: Codec, sources: Sequence[Source]) -> Iterator[Any]:
        for source in sources:
            self._beat(CALL)
            yield codec.analyse(_codec_input(codec, self._read(source)))

    def _decode(self, task: DecodeTask) -> tuple[Decoded | Failed, ...]:
        """The audio of each cell, as it is stored, with the scores that were asked for together with it."""
        made = self._make(task)
        results = [each.decoded if isinstance(each, _Made) else each for each in made]
        asked = [
            (number, cell.score, partial(self._signal_made, task.entry, cell.score, each))
            for number, (cell, each) in enumerate(zip(task.cells, made, strict=True))
            if cell.score and isinstance(each, _Made)
        ]
        if asked:
            numbers, cells, signals = zip(*asked, strict=True)
            self._surroundings.begin(ScoreTask.seed)
            for number, scored in zip(numbers, self._scores(task.source, cells, signals), strict=True):
                results[number] = dataclasses.replace(made[number].decoded, scored=scored)  # type: ignore[union-attr]
        return tuple(results)

    def _make(self, task: DecodeTask) -> Sequence[_Made | Failed]:
        module, number = task.entry.module, len(task.cells)
        if any(cell.recording for cell in task.cells):
            utterance = attempt(self._read, task.source, stage="reading")
            return (
                (utterance,) * number
                if isinstance(utterance, Failed)
                else tuple(attempt(_load_recording, cell.recording, utterance, task.entry.length_tolerance_s) for cell in task.cells)
            )
        codec = attempt(self._load, task.entry, stage="load", module=module)
        if isinstance(codec, Failed):
            return (codec,) * number
        if all(cell.stream for cell in task.cells):
            return _with_files([self._timed(_from_stream, codec, cell.stream, module=module) for cell in task.cells])
        utterance = attempt(self._read, task.source, stage="reading")
        if isinstance(utterance, Failed):
            return (utterance,) * number
        packer = self._timed(self._packer_of, codec, stage="analyse (noise)", module=module)
        if isinstance(packer, Failed):
            return (packer,) * number
        layouts = [self._timed(packer.layout, cell.point, module=module) for cell in task.cells]  # before the codec hears the utterance
        analysed = self._timed(_analyse, codec, utterance, stage="analyse", module=module)
        if isinstance(analysed, Failed):
            return (analysed,) * number
        coded = [
            layout if isinstance(layout, Failed) else self._timed(_code, codec, packer, analysed, cell, module=module)
            for cell, layout in zip(task.cells, layouts, strict=True)
        ]
        return _with_files(coded)

    def _check(self, task: CheckTask) -> Failed | None:
        codec = attempt(self._load, task.entry, stage="load", module=task.entry.module)
        again = codec if isinstance(codec, Failed) else self._timed(_from_stream, codec, task.stream, module=task.entry.module)
        if isinstance(again, Failed):
            return Failed(f"a second decoder, in another process, cannot decode the stream: {again.reason}", again.traceback)
        if not same_audio(from_flac(task.audio)[0], again.samples):
            return Failed("a second decoder, in another process, makes other audio of the same stream: what it needs is not in the stream")
        assert not isinstance(codec, Failed)
        is_paid = self._timed(self._is_paid, codec, task, module=task.entry.module)
        if isinstance(is_paid, Failed):
            return is_paid
        return None if is_paid else Failed("the header of the stream, whose bits are not counted, is another one in another process")

    def _packer_of(self, codec: Codec) -> Packer:
        if self._packer is None:
            self._packer = Packer(codec)
        return self._packer

    def _is_paid(self, codec: Codec, task: CheckTask) -> bool:
        return self._packer_of(codec).is_paid(task.stream, task.point)

    def _score(self, task: ScoreTask) -> tuple[Scored, ...]:
        return self._scores(task.source, task.cells, [partial(self._signal, task, cell) for cell in task.cells])

    def _scores(self, source: Source, cells: Sequence[ScoreCell], signals: Sequence[Callable[[], _Signal]]) -> tuple[Scored, ...]:
        """The missing columns of each cell, whose audio `signals` gives; each metric hears all cells that share a reference together."""
        outcomes: list[dict[str, Outcome]] = [{} for _ in cells]
        for reference in dict.fromkeys(cell.reference for cell in cells):
            utterance = attempt(self._reference, source, reference, stage="reading")
            heard: dict[int, _Signal] = {}
            for number, cell in enumerate(cells):
                if cell.reference == reference:
                    signal = utterance if isinstance(utterance, Failed) else attempt(signals[number], stage="reading")
                    if isinstance(signal, Failed):
                        outcomes[number] = {column.key: signal for column in cell.columns}
                    else:
                        heard[number] = signal
            if heard and not isinstance(utterance, Failed):
                self._score_together(utterance, heard, {number: cells[number].columns for number in heard}, outcomes)
        return tuple(_scored(outcome) for outcome in outcomes)

    def _score_together(
        self,
        utterance: Utterance,
        signals: Mapping[int, _Signal],
        columns: Mapping[int, Sequence[Column]],
        outcomes: Sequence[dict[str, Outcome]],
    ) -> None:
        for group in dict.fromkeys(self._groups[column.name] for number in signals for column in columns[number]):
            if group.loaded is None:
                self._beat(LOAD)
                self._surroundings.put_back()
            metrics = attempt(group.load, self._device, stage="load")
            if isinstance(metrics, Failed):
                for number in signals:
                    outcomes[number].update({column.key: metrics for column in columns[number] if column.name in group.names})
                continue
            for metric in metrics:
                lacking = {number: own for number in signals if (own := [c for c in columns[number] if c.name in metric.names])}
                if lacking:
                    found = self._outcomes(metric, utterance, [signals[number] for number in lacking])
                    for (number, own), outcome in zip(lacking.items(), found, strict=True):
                        outcomes[number].update({column.key: _of_column(outcome, column.name) for column in own})

    def _outcomes(self, metric: Metric, utterance: Utterance, signals: Sequence[_Signal]) -> Sequence[Any]:
        """What `metric` has to say of signals that share a reference."""
        ready = self._timed(_unless_inapplicable, self._prepared, metric, utterance)
        if isinstance(ready, (Failed, NotApplicable)):
            return [ready] * len(signals)
        reference, prepared = ready
        # Copies: what a metric does to its signals in place is no other metric's.
        fitted = [audio.fit_length(signal.at(metric.sample_rate), len(reference)).copy() for signal in signals]
        if hasattr(metric, "score_stream"):
            sent = [signal.sent for signal in signals]
            return [self._timed(_unless_inapplicable, _score, metric, prepared, *each) for each in zip(fitted, sent, strict=True)]
        if len(fitted) > 1 and hasattr(metric, "score_batch"):
            scores = self._timed(metric.score_batch, prepared, fitted)
            if not isinstance(scores, Failed):
                return scores
        return [self._timed(_unless_inapplicable, metric.score, prepared, signal) for signal in fitted]

    def _signal(self, task: ScoreTask, cell: ScoreCell) -> _Signal:
        samples, sample_rate = from_flac(cell.audio) if isinstance(cell.audio, bytes) else audio.read(cell.audio)
        return self._signal_of(task.entry, cell, samples, sample_rate)

    def _signal_made(self, entry: Entry, cell: ScoreCell, made: _Made) -> _Signal:
        if cell.point is not None:
            hop_length = made.decoded.facts.get("hop_length", cell.hop_length)
            cell = dataclasses.replace(cell, stream=made.decoded.stream, hop_length=hop_length)
        return self._signal_of(entry, cell, made.samples, made.sample_rate)

    def _signal_of(self, entry: Entry | None, cell: ScoreCell, samples: np.ndarray, sample_rate: int) -> _Signal:
        if entry is None or cell.point is None:
            return _Signal(samples, sample_rate)
        encoded = unpack(cell.stream) if cell.stream else None
        return _Signal(samples, sample_rate, Sent(encoded, cell.point, samples, sample_rate, cell.hop_length, lambda: self._load(entry)))

    def _prepared(self, metric: Metric, utterance: Utterance) -> tuple[np.ndarray, Any]:
        """The reference at the metric's rate, and what the metric prepares from it: once for all codecs and points."""
        memo = _remembered(self._references, utterance.audio_sha256, dict)
        rate = metric.sample_rate
        if rate not in memo:
            memo[rate] = audio.resample(utterance.audio, utterance.sample_rate, rate)
        if metric.names not in memo:
            own = dataclasses.replace(utterance, audio=utterance.audio.copy())
            memo[metric.names] = metric.prepare(own, memo[rate].copy())
        return memo[rate], memo[metric.names]

    def _read(self, source: Source) -> Utterance:
        return _remembered(self._utterances, source, source.read)

    def _reference(self, source: Source, reference: Path | None) -> Utterance:
        return _with_reference(self._read(source), reference)

    def _load(self, entry: Entry) -> Codec:
        """The codec of `entry`; one that was loaded before makes room for it."""
        name = (entry.module, entry.checkpoint)
        if self._codec is None or self._codec[0] != name:
            self._codec = self._packer = None
            self._beat(LOAD)
            self._codec = (name, self._registry.codec_module(entry.module).load(entry.checkpoint, self._device))
        return self._codec[1]

    def _timed(self, function: Callable[..., V], *arguments: Any, stage: str = "", module: str = "") -> V | Failed:
        self._beat(CALL)
        self._surroundings.put_back()
        return attempt(function, *arguments, stage=stage, module=module)


@dataclass(eq=False)
class _Group:
    """Columns of one file with the same options, which are loaded together."""

    module: MetricModule
    options: Mapping[str, str]
    names: list[str] = field(default_factory=list)
    loaded: Sequence[Metric] | None = None

    def load(self, device: torch.device) -> Sequence[Metric]:
        if self.loaded is None:
            self.loaded = self.module.load(self.names, device, self.options)
        return self.loaded


def _groups(registry: Any, metrics: Sequence[MetricSpec]) -> dict[str, _Group]:
    """Column -> its group."""
    groups: dict[Any, _Group] = {}
    columns = {}
    for spec in metrics:
        module = registry.metric_modules()[spec.metric]
        key = (module.__name__, tuple(sorted(spec.options.items())))
        columns[spec.metric] = groups.setdefault(key, _Group(module, dict(spec.options)))
        columns[spec.metric].names.append(spec.metric)
    return columns


def _remembered(kept: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    if key not in kept:
        kept[key] = make()
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


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


@dataclass(frozen=True)
class _Made:
    """One decoded cell: what goes into the store, and its audio as the store gives it back, float32 [T].

    It has no file before `_with_file` made it.
    """

    decoded: Decoded
    samples: np.ndarray
    sample_rate: int


def _code(codec: Codec, packer: Packer, analysed: _Analysed, cell: DecodeCell) -> _Made:
    """Encodes, packs, unpacks and decodes; raises where the codec breaks its contract."""
    with torch.inference_mode():
        started = time.perf_counter()
        encoded = codec.encode(analysed.latent, cell.point)
        _wait_for_device()
        encode_s = time.perf_counter() - started
        packed, entropy_packed = packer.pack_both(encoded, cell.point)
        received = unpack(packed.data)
        tokens = TokenCounts()
        tokens.add(received)  # before a decoder may change them in place
        started = time.perf_counter()
        decoded = codec.decode(received)
        _wait_for_device()
        decode_s = time.perf_counter() - started
    _check_is_tensor(decoded)
    if decoded.shape != (analysed.num_samples,):
        raise BrokenContract(f"decode gave the shape {list(decoded.shape)}, the audio has [{analysed.num_samples}]")
    samples, clipped_samples = in_24_bits(_finite(decoded))
    facts = {
        "sample_rate": analysed.sample_rate,
        "hop_length": codec.hop_length,
        "clipped_samples": clipped_samples,
        **_rates(encoded, cell.point, analysed.utterance.duration_s, packed.bits_tokens, packed.bits_side),
        "bits_total": packed.bits_total,
        "bits_entropy": entropy_packed.bits_counted,
        "encode_s": analysed.seconds + encode_s,
        "decode_s": decode_s,
        "peak_memory_mb": _peak_memory_mb(),
    }
    return _Made(Decoded(facts, stream=packed.data, tokens=tokens), samples, analysed.sample_rate)


def _from_stream(codec: Codec, stream: bytes) -> _Made:
    """The audio of a stored bitstream, without what only the encoder knows."""
    received = unpack(stream)
    with torch.inference_mode():
        decoded = codec.decode(received)
    _check_is_tensor(decoded)
    if decoded.shape != (received.num_samples,):
        raise BrokenContract(f"decode gave the shape {list(decoded.shape)}, the stream has [{received.num_samples}] samples")
    samples, clipped_samples = in_24_bits(_finite(decoded))
    return _Made(Decoded({"clipped_samples": clipped_samples}, stream=stream), samples, codec.sample_rate)


def _with_files(cells: Sequence[_Made | Failed]) -> tuple[_Made | Failed, ...]:
    """All at once: the coder of audio would drive what codecs need out of the processor's cache, cell by cell."""
    return tuple(each if isinstance(each, Failed) else attempt(_with_file, each) for each in cells)


def _with_file(made: _Made) -> _Made:
    return dataclasses.replace(made, decoded=dataclasses.replace(made.decoded, audio=to_flac(made.samples, made.sample_rate)))


def _check_is_tensor(decoded: Any) -> None:
    if not isinstance(decoded, torch.Tensor):
        raise BrokenContract(f"decode gave {type(decoded).__name__}, which is no tensor")


def _finite(decoded: torch.Tensor) -> np.ndarray:
    if not decoded.is_floating_point():
        raise BrokenContract(f"decode gave {decoded.dtype}, audio is floating point in [-1, 1]")
    samples = decoded.detach().float().cpu().numpy()
    if not np.isfinite(samples).all():
        raise BrokenContract("decode gave NaN or infinite samples")
    return samples


def in_24_bits(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """float32 [T] as the nearest values that 24 bits hold, a copy, and how many samples had to be clipped for it."""
    scaled = np.rint(samples.astype(np.float64) * FULL_SCALE)
    # A sample at full scale itself is no clipping that anybody hears.
    clipped_samples = int(np.count_nonzero(np.abs(scaled) > FULL_SCALE))
    return (np.minimum(np.maximum(scaled, -FULL_SCALE), FULL_SCALE - 1) / FULL_SCALE).astype(np.float32), clipped_samples


def to_flac(samples: np.ndarray, sample_rate: int) -> bytes:
    """What `in_24_bits` gave as 24-bit FLAC, of which `from_flac` gives the same."""
    whole = (samples * np.float32(FULL_SCALE)).astype(np.int32) << 8  # exact; libsndfile takes the upper 24 of 32 bits
    file = io.BytesIO()
    soundfile.write(file, whole, sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def from_flac(data: bytes) -> tuple[np.ndarray, int]:
    """float32 [T], exactly as stored, and the sample rate in Hz."""
    samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples, int(sample_rate)


def _rates(encoded: Encoded, point: OperatingPoint, duration_s: float, bits_tokens: int, bits_side: int) -> dict[str, Any]:
    packets = len(encoded.packets) if point.frame_rate else 0  # a codec without frames has no rate of them
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


def _load_recording(recording: Recording, utterance: Utterance, length_tolerance_s: float | None) -> _Made:
    utterance = _with_reference(utterance, recording.reference)
    try:
        decoded, sample_rate = audio.read(recording.path)
    except ValueError as error:
        raise BrokenContract(f"{recording.path}: {error}") from None
    expected = round(len(utterance.audio) * sample_rate / utterance.sample_rate)
    try:
        check_length(len(decoded), expected, sample_rate, length_tolerance_s)
    except ValueError as error:
        raise BrokenContract(str(error)) from None
    facts = {
        "duration_s": utterance.duration_s,
        "sample_rate": sample_rate,
        "frame_rate": recording.frame_rate,
        "token_rate": recording.frame_rate * recording.n_q,
        "bitrate": recording.bitrate,
        "nominal_bitrate": recording.bitrate,
        "length_error": len(decoded) - expected,
        "clipped_samples": int(np.count_nonzero(np.abs(decoded) > 1)),
    }
    return _Made(Decoded(facts), decoded, sample_rate)


def _with_reference(utterance: Utterance, reference: Path | None) -> Utterance:
    """The utterance with the audio that a recording names as its own reference."""
    if reference is None:
        return utterance
    samples, sample_rate = audio.read(reference)
    return dataclasses.replace(utterance, audio=samples, sample_rate=sample_rate)


@dataclass
class _Signal:
    """Decoded audio, resampled once for each rate that some metric asks for."""

    samples: np.ndarray
    sample_rate: int
    sent: Sent | None = None
    _at_rate: dict[int, np.ndarray] = field(default_factory=dict)

    def at(self, sample_rate: int) -> np.ndarray:
        if sample_rate not in self._at_rate:
            self._at_rate[sample_rate] = audio.resample(self.samples, self.sample_rate, sample_rate)
        return self._at_rate[sample_rate]


def _score(metric: Any, prepared: Any, degraded: np.ndarray, sent: Sent | None) -> Mapping[str, Score]:
    return metric.score(prepared, degraded) if sent is None else metric.score_stream(prepared, degraded, sent)


def _unless_inapplicable(function: Callable[..., V], *arguments: Any) -> V | NotApplicable:
    try:
        return function(*arguments)
    except NotApplicable as reason:
        return reason


def _of_column(outcome: Any, name: str) -> Outcome:
    return outcome if isinstance(outcome, (Failed, NotApplicable)) else attempt(_finite_score, outcome, name)


def _finite_score(scores: Mapping[str, Score], name: str) -> Score:
    if not math.isfinite(scores[name].value):
        raise MetricFailure(f"the metric gave {scores[name].value}")
    return scores[name]


def _scored(outcomes: Mapping[str, Outcome]) -> Scored:
    return Scored(
        {key: each for key, each in outcomes.items() if not isinstance(each, (Failed, NotApplicable))},
        {key: each for key, each in outcomes.items() if isinstance(each, Failed)},
        {key: str(each) for key, each in outcomes.items() if isinstance(each, NotApplicable)},
    )


def _codec_input(codec: Codec, utterance: Utterance) -> torch.Tensor:
    """A copy: what a codec does to it in place is not done to the reference."""
    rate = codec.sample_rate or utterance.sample_rate
    return check_audio(torch.from_numpy(audio.resample(utterance.audio, utterance.sample_rate, rate).copy()))


def _wait_for_device() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _peak_memory_mb() -> float:
    """Of the process so far, and of the GPU where one is in use."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return peak + (torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_initialized() else 0.0)
