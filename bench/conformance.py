"""What every codec must do, whatever it sounds like: the list behind `bench check`, and what the adapters' tests run.

Batches are no rule here: the contract analyses one utterance at a time.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from bench import audio, needs
from bench.bitstream import Packer, entropy_pack, entropy_unpack, pack, unpack
from bench.codec import Codec, Encoded, OperatingPoint, check_audio, nominal_bitrate
from bench.datasets.specs import BUNDLED, open_dataset, parse_spec
from bench.errors import Unavailable, UserError, headline
from bench.latency import algorithmic_latency
from bench.registry import codec_module

LONGEST_S = 60.0
MAX_DELAY_MS = 10.0
MAX_GAIN_DB = 6.0
MAX_DIFFERENCE = 1e-4  # of two decodings of one stream: energy over that of the first, -40 dB
_LEAST_DIFFERENCE = 2.0**-23  # mean square that is never a difference: of silence, and of 24-bit samples
_RATE_WITHOUT_ONE = 16000  # Hz, for a codec that takes audio as it comes (sample_rate 0)
_ENVELOPE_RATE = 1000  # Hz
_HEADER_BYTES = 64  # of the bitstream, generously; each packet may add two for its length
_STREAM_BYTES = 12  # of each stream's layout and lengths, generously


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    detail: str


class Broken(Exception):
    """A rule that the codec breaks, with what was seen."""


def check(name: str, checkpoint: str | None, device: torch.device) -> list[Check]:
    """The whole list for a codec by name, on the bundled speech. Raises Unavailable where the codec can not run here."""
    module = codec_module(name)
    needs.require(f"codec '{name}'", module.needs(checkpoint))
    try:
        codec = module.load(checkpoint, device)
    except (UserError, Unavailable):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a codec raises is the finding
        return [Check("loads", False, _first_line(error))]
    clips = [entry.read() for entry in open_dataset(parse_spec({"name": BUNDLED, "limit": 3}), Path(), seed=0).entries]
    rate = codec.sample_rate or _RATE_WITHOUT_ONE
    speech = np.concatenate([audio.resample(clip.audio, clip.sample_rate, rate) for clip in clips])
    points = [_tuned(codec, point, torch.from_numpy(speech)) for point in module.POINTS.values()]
    utterances = [torch.from_numpy(audio.resample(clip.audio, clip.sample_rate, rate)) for clip in clips]
    elsewhere = _Elsewhere(name, checkpoint, str(device))
    return [
        *check_codec(codec, points, speech),
        _checked("latency", lambda: _latencies(codec, points, torch.from_numpy(speech), rate)),
        _checked("decodes elsewhere", lambda: _decodes_elsewhere(codec, points, utterances, elsewhere)),
    ]


def _latencies(codec: Codec, points: Sequence[OperatingPoint], speech: Tensor, rate: int) -> str:
    """No rule, but worth knowing: of every point that the checkpoint takes."""
    told = []
    for point in points:
        try:
            samples = algorithmic_latency(codec, point, speech, rate)
        except ValueError:
            continue  # another checkpoint's point, of which "accepts points" tells
        told.append(f"{point.name} {'the whole utterance' if samples is None else f'{1000 * samples / rate:.3g}'}")
    return f"ms: {', '.join(told)}"


def _tuned(codec: Any, point: OperatingPoint, speech: Tensor) -> OperatingPoint:
    """A point that only names a target rate, with the option that meets it on `speech`."""
    if "target_frame_rate" in point.options and hasattr(codec, "tune"):
        return codec.tune([codec.analyse(speech)], point)
    return point


def check_codec(
    codec: Codec, points: Sequence[OperatingPoint], speech: np.ndarray, is_trained: bool = True, longest_s: float = LONGEST_S
) -> list[Check]:
    """Every rule in turn; one that is broken does not stop the next.

    speech       float32 [T] at the codec's sample rate, some seconds of it
    is_trained   False for random weights, whose output has neither the delay nor the gain of the input
    """
    trial = _Trial(codec, points, speech, longest_s)
    rules: list[Callable[[_Trial], str]] = [
        _keeps_length,
        _repeats_itself,
        _has_no_memory,
        _survives_the_bitstream,
        _covers_the_audio,
        _refines_codebooks,
        _spends_what_it_says,
        _takes_silence,
        _takes_full_scale_noise,
        _takes_other_rates,
        _takes_long_audio,
        _refuses_unusable_audio,
    ]
    if is_trained:
        rules += [_is_on_time, _is_as_loud]
    accepts = _run(_accepts_points, trial)
    return [accepts, *(_run(rule, trial) for rule in rules)] if accepts.passed else [accepts]


def _run(rule: Callable[[_Trial], str], trial: _Trial) -> Check:
    return _checked(rule.__name__.strip("_").replace("_", " "), lambda: rule(trial))


def _checked(name: str, rule: Callable[[], str]) -> Check:
    try:
        return Check(name, True, rule())
    except Broken as broken:
        return Check(name, False, str(broken))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a codec raises is the finding
        return Check(name, False, _first_line(error))


def _first_line(error: BaseException) -> str:
    return headline(f"{type(error).__name__}: {error}")


class _Trial:
    """A codec with the signals that it is tried on."""

    def __init__(self, codec: Codec, points: Sequence[OperatingPoint], speech: np.ndarray, longest_s: float) -> None:
        self.codec, self.all_points, self.longest_s = codec, points, longest_s
        self.rate = codec.sample_rate or _RATE_WITHOUT_ONE
        self.speech = torch.from_numpy(np.ascontiguousarray(speech, np.float32))

    @cached_property
    def packer(self) -> Packer:
        return Packer(self.codec)

    @cached_property
    def refused(self) -> dict[str, str]:
        """Points that the loaded checkpoint does not take, each with the reason that it gave."""
        latent = self.codec.analyse(self.excerpt(self.rate))
        refused = {}
        for point in self.all_points:
            try:
                self.codec.encode(latent, point)
            except ValueError as error:
                refused[point.name] = str(error)
        return refused

    @property
    def points(self) -> list[OperatingPoint]:
        return [point for point in self.all_points if point.name not in self.refused]

    def excerpt(self, num_samples: int, start: int = 0) -> Tensor:
        """Speech of any length, from somewhere inside, said again where it ends."""
        return self.speech.repeat(1 + (start + num_samples) // len(self.speech))[start : start + num_samples].clone()

    def encode(self, samples: Tensor, point: OperatingPoint) -> Encoded:
        return self.codec.encode(self.codec.analyse(check_audio(samples)), point)

    def decode(self, encoded: Encoded, what: str) -> Tensor:
        """What the decoder makes of the unpacked bitstream; Broken unless it is float32 [num_samples], finite."""
        decoded = self.codec.decode(unpack(pack(encoded).data))
        if decoded.dtype != torch.float32 or decoded.device.type != "cpu" or list(decoded.shape) != [encoded.num_samples]:
            got = f"{decoded.dtype} {list(decoded.shape)} on {decoded.device}"
            raise Broken(f"{what}: decode gave {got}, not float32 [{encoded.num_samples}] on the CPU")
        if not bool(torch.isfinite(decoded).all()):
            raise Broken(f"{what}: decode gave NaN or infinite samples")
        return decoded

    def decoded_speech(self, point: OperatingPoint) -> Tensor:
        return self.decode(self.encode(self.speech, point), point.name)


def _accepts_points(trial: _Trial) -> str:
    """A checkpoint may refuse points at another frame rate than its own: they are another checkpoint's."""
    own_rate = trial.rate / trial.codec.hop_length
    for point in trial.all_points:
        if point.name in trial.refused and (not trial.points or math.isclose(point.frame_rate, own_rate)):
            raise Broken(f"{point.name} was refused: {trial.refused[point.name]}")
    refused = f"; for other checkpoints: {', '.join(trial.refused)}" if trial.refused else ""
    return f"{', '.join(point.name for point in trial.points)}{refused}"


def _keeps_length(trial: _Trial) -> str:
    hop = trial.codec.hop_length
    lengths = sorted({1, max(1, hop - 1), hop, hop + 1, 2 * (trial.rate // 4) + 1})
    for length in lengths:
        latent = trial.codec.analyse(trial.excerpt(length, start=trial.rate // 2))
        for point in trial.points:
            encoded = trial.codec.encode(latent, point)
            if encoded.num_samples != length:
                raise Broken(f"{point.name}, {length} samples: num_samples is {encoded.num_samples}")
            trial.decode(encoded, f"{point.name}, {length} samples")
    return f"{', '.join(map(str, lengths))} samples in, as many out"


def _takes_long_audio(trial: _Trial) -> str:
    what = f"{trial.longest_s:g} s at {trial.points[-1].name}"
    trial.decode(trial.encode(trial.excerpt(round(trial.longest_s * trial.rate)), trial.points[-1]), what)
    return what


def _repeats_itself(trial: _Trial) -> str:
    samples = trial.excerpt(trial.rate)
    for point in trial.points:
        first, second = trial.encode(samples, point), trial.encode(samples, point)
        if not same(first, second):
            raise Broken(f"{point.name}: two encodings of one signal differ")
        if not torch.equal(trial.codec.decode(first), trial.codec.decode(first)):
            raise Broken(f"{point.name}: two decodings of one stream differ")
    return "encode and decode give the same twice"


def _has_no_memory(trial: _Trial) -> str:
    one, other = trial.excerpt(trial.rate), trial.excerpt(trial.rate // 2, start=trial.rate)
    latent = trial.codec.analyse(one)
    before = {point.name: trial.codec.encode(latent, point) for point in trial.points}
    audio_before = {name: trial.codec.decode(encoded) for name, encoded in before.items()}
    for point in trial.points:
        trial.codec.decode(trial.encode(other, point))
    for point in reversed(trial.points):
        if not same(trial.codec.encode(latent, point), before[point.name]) or not same(trial.encode(one, point), before[point.name]):
            raise Broken(f"{point.name}: encodes otherwise after another signal or point")
        if not torch.equal(trial.codec.decode(before[point.name]), audio_before[point.name]):
            raise Broken(f"{point.name}: decodes otherwise after another signal or point")
    return "what ran before changes nothing"


def _survives_the_bitstream(trial: _Trial) -> str:
    for point in trial.points:
        encoded = trial.encode(trial.excerpt(trial.rate // 2), point)
        if not same(unpack(pack(encoded).data), encoded) or not same(entropy_unpack(entropy_pack(encoded).data), encoded):
            raise Broken(f"{point.name}: unpack(pack(x)) differs from x")
        if not torch.equal(trial.decode(encoded, point.name), trial.codec.decode(encoded)):
            raise Broken(f"{point.name}: decodes otherwise from the unpacked stream")
    return "unpack(pack(x)) == x, and sounds the same"


def _covers_the_audio(trial: _Trial) -> str:
    """Tokens are in range and durations positive by the construction of a Stream; here they must add up to the signal."""
    samples = trial.excerpt(trial.rate + 1)
    whole_frames = len(samples) // trial.codec.hop_length  # a codec may leave out a last frame that is not whole, or pad
    for point in trial.points:
        encoded = trial.encode(samples, point)
        if not encoded.packets and not any(stream.num_frames for stream in encoded.streams):
            raise Broken(f"{point.name}: nothing was sent")
        for stream in encoded.streams:
            if stream.durations is None:
                continue
            covered = int(stream.durations.sum())
            if not whole_frames <= covered <= whole_frames + 1 + stream.max_duration:
                raise Broken(f"{point.name}: durations cover {covered} base frames of {whole_frames}")
    return f"every list of durations lasts as long as the {whole_frames} base frames"


def _refines_codebooks(trial: _Trial) -> str:
    samples = trial.excerpt(trial.rate)
    pairs = 0
    for fewer in trial.points:
        for more in trial.points:
            is_pair = fewer.n_q < more.n_q and fewer.options == more.options and fewer.frame_rate == more.frame_rate
            if not is_pair:
                continue
            pairs += 1
            short, long = trial.encode(samples, fewer).streams, trial.encode(samples, more).streams
            for ours, theirs in zip(short, long, strict=False):
                if not torch.equal(ours.tokens, theirs.tokens[: len(ours.tokens)]):
                    raise Broken(f"{fewer.name} is not the first {fewer.n_q} codebooks of {more.name}")
    return f"fewer codebooks are the first of more, in {pairs} pairs of points" if pairs else "no two points differ in codebooks alone"


def _spends_what_it_says(trial: _Trial) -> str:
    samples = trial.excerpt(2 * trial.rate)
    seconds = len(samples) / trial.rate
    shares = []
    for point in trial.points:
        encoded = trial.encode(samples, point)
        packed = trial.packer.pack(encoded, point)
        nominal = nominal_bitrate(encoded, seconds) * seconds
        nested = packed.bits_side if any(stream.nested for stream in encoded.streams) else 0
        rounding = sum(len(stream.tokens) * (1 + stream.num_frames // 1024) + 8 for stream in encoded.streams)
        allowed = nominal + nested + rounding + 8 * (_HEADER_BYTES + _STREAM_BYTES * len(encoded.streams) + 2 * len(encoded.packets))
        if packed.bits_total > allowed:
            raise Broken(f"{point.name}: {packed.bits_total} bits for {nominal:.0f} nominal ones")
        shares.append(f"{point.name} {packed.bits_counted / seconds / 1000:.2f}")
    return f"kbps: {', '.join(shares)}"


def _takes_silence(trial: _Trial) -> str:
    levels = [trial.decode(trial.encode(torch.zeros(trial.rate), point), point.name).abs().max().item() for point in trial.points]
    return f"peak {max(levels):.2g}"


def _takes_full_scale_noise(trial: _Trial) -> str:
    noise = torch.rand(trial.rate, generator=torch.Generator().manual_seed(0)) * 2 - 1
    levels = [trial.decode(trial.encode(noise, point), point.name).abs().max().item() for point in trial.points]
    return f"peak {max(levels):.2g}"


def _takes_other_rates(trial: _Trial) -> str:
    """A file at 8 kHz and one in stereo at 48 kHz, by the way that every file takes."""
    with tempfile.TemporaryDirectory() as folder:
        for rate, channels in ((8000, 1), (48000, 2)):
            samples = audio.resample(trial.excerpt(trial.rate).numpy(), trial.rate, rate)
            path = Path(folder) / f"{rate}.wav"
            soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype="FLOAT")
            mono, file_rate = audio.read(path)
            resampled = torch.from_numpy(audio.resample(mono, file_rate, trial.rate))
            trial.decode(trial.encode(resampled, trial.points[0]), f"{rate} Hz, {channels} channels")
    return "8 kHz, and 48 kHz in stereo"


def _refuses_unusable_audio(trial: _Trial) -> str:
    reasons = []
    for samples in (torch.zeros(0), torch.tensor([0.0, float("nan")]), torch.zeros(2, 2)):
        try:
            trial.encode(samples, trial.points[0])
        except ValueError as error:
            reasons.append(str(error))
        else:
            raise Broken(f"audio {samples.tolist()} was taken")
    return "; ".join(reasons)


def _is_on_time(trial: _Trial) -> str:
    delays = {point.name: delay_ms(trial.speech, trial.decoded_speech(point), trial.rate) for point in trial.points}
    told = ", ".join(f"{name} {delay:+.0f}" for name, delay in delays.items())
    if max(map(abs, delays.values())) > MAX_DELAY_MS:
        raise Broken(f"late (+) or early (-) by more than {MAX_DELAY_MS:g} ms: {told}")
    return f"ms: {told}"


def _is_as_loud(trial: _Trial) -> str:
    gains = {point.name: gain_db(trial.speech, trial.decoded_speech(point)) for point in trial.points}
    told = ", ".join(f"{name} {gain:+.1f}" for name, gain in gains.items())
    if max(map(abs, gains.values())) > MAX_GAIN_DB:
        raise Broken(f"louder (+) or softer (-) by more than {MAX_GAIN_DB:g} dB: {told}")
    return f"dB: {told}"


@dataclass(frozen=True)
class _Elsewhere:
    """A codec by what loads it anew, in a process that has heard no audio."""

    name: str
    checkpoint: str | None
    device: str

    def decode(self, streams: Sequence[tuple[OperatingPoint, bytes]]) -> list[np.ndarray | str]:
        """Runs there: the audio of each stream, or why there is none."""
        codec = codec_module(self.name).load(self.checkpoint, torch.device(self.device))
        packer = Packer(codec)
        decoded: list[np.ndarray | str] = []
        for point, stream in streams:
            try:
                if not packer.is_paid(stream, point):
                    raise Broken("its header, whose bits are not counted, is another one there")
                with torch.inference_mode():
                    decoded.append(codec.decode(unpack(stream)).numpy())
            except Broken as broken:
                decoded.append(str(broken))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a codec raises is the finding
                decoded.append(_first_line(error))
        return decoded


def _decodes_elsewhere(codec: Codec, points: Sequence[OperatingPoint], utterances: Sequence[Tensor], elsewhere: _Elsewhere) -> str:
    """What a decoder needs is in the stream: given the bytes alone, in another process, it makes the same audio of every utterance."""
    names, streams, here = list[str](), list[tuple[OperatingPoint, bytes]](), list[Tensor]()
    packer = Packer(codec)
    for number, samples in enumerate(utterances, start=1):
        latent = codec.analyse(samples)
        for point in points:
            try:
                encoded = codec.encode(latent, point)
            except ValueError:
                continue  # another checkpoint's point, of which "accepts points" tells
            names.append(f"{point.name}, utterance {number}")
            streams.append((point, packer.pack(encoded, point).data))
            here.append(codec.decode(unpack(streams[-1][1])))
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(elsewhere.decode, streams).result()
    except BrokenProcessPool:
        raise Broken("the process that was to decode elsewhere ended") from None
    for name, ours, theirs in zip(names, here, there, strict=True):
        if isinstance(theirs, str):
            raise Broken(f"{name}: another process can not decode the stream: {theirs}")
        if not same_audio(ours.numpy(), theirs):
            raise Broken(f"{name}: another process makes other audio of the stream: what it needs is not in there")
    return f"{len(streams)} streams, each in another process"


def same_audio(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two decodings [T] of one stream are the same but for rounding.

    Their difference has at most `MAX_DIFFERENCE` of the first one's energy, beside what 24 bits round away: two devices, or two numbers of
    threads, may round otherwise, while other audio differs by as much as it has.
    """
    if one.shape != other.shape:
        return False
    first, second = one.astype(np.float64), other.astype(np.float64)
    return bool(np.square(first - second).sum() <= MAX_DIFFERENCE * np.square(first).sum() + len(first) * _LEAST_DIFFERENCE)


def same(one: Encoded, other: Encoded) -> bool:
    """Whether two encodings hold the same, bit for bit."""
    return (
        (one.num_samples, one.packets) == (other.num_samples, other.packets)
        and len(one.streams) == len(other.streams)
        and all(
            (a.codebook_sizes, a.max_duration, a.nested) == (b.codebook_sizes, b.max_duration, b.nested)
            and torch.equal(a.tokens, b.tokens)
            and _equal(a.durations, b.durations)
            for a, b in zip(one.streams, other.streams, strict=True)
        )
    )


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def delay_ms(reference: Tensor, degraded: Tensor, sample_rate: int) -> float:
    """Lag of the greatest cross-correlation of the energy envelopes, in dB, within 250 ms; positive where `degraded` is late.

    Of the envelopes, not of the waveforms: a vocoder keeps the one and not the other.
    """
    one, other = _envelope(reference, sample_rate), _envelope(degraded, sample_rate)
    size = 2 * len(one)
    correlation = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)
    reach = min(_ENVELOPE_RATE // 4, len(one) - 1)
    lags = np.arange(-reach, reach + 1)
    return 1000 * float(lags[np.argmax(correlation[lags])]) / _ENVELOPE_RATE


def _envelope(samples: Tensor, sample_rate: int) -> np.ndarray:
    """Energy in dB around its mean, `_ENVELOPE_RATE` values a second, each over a Hann window of 20 ms."""
    window = np.hanning(sample_rate // 50)
    energy = np.convolve(samples.double().numpy() ** 2, window / window.sum(), mode="same")
    centres = np.arange(0, len(energy), sample_rate / _ENVELOPE_RATE).astype(int)
    decibels = 10 * np.log10(energy[centres] + 1e-7)
    return decibels - decibels.mean()


def gain_db(reference: Tensor, degraded: Tensor) -> float:
    """Root mean square of `degraded` over that of `reference`."""
    return 10 * math.log10(float(degraded.double().square().sum() / reference.double().square().sum()) + 1e-12)
