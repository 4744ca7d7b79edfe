"""Streams that lie, that were damaged, or that are another codec's: an error, soon and in little memory, or audio of the right shape."""

from __future__ import annotations

import importlib
import resource
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import bitstream
from bench.bitstream import Layout, pack, unpack
from bench.codec import Codec, Encoded, Stream
from bench.registry import codec_module
from tests import tiny_codecs as tiny
from tests.speech import at_rate, sentence

CPU = torch.device("cpu")
HERE = Path(__file__)  # stands for a weight file, where only its hash is asked for
SECONDS = 0.5


def module(name: str) -> Any:
    return importlib.import_module(f"bench.codecs.{name}")


def shipped(name: str, checkpoint: str | None = None) -> Callable[[Path], Codec]:
    def load(shared: Path) -> Codec:
        lacking = [need for need in module(name).needs(checkpoint) if not need.available]
        if lacking:
            pytest.skip(f"needs {lacking[0].name}: {lacking[0].how}")
        return module(name).load(checkpoint, CPU)

    return load


def lyra(shared: Path) -> Codec:
    pytest.importorskip("ai_edge_litert", reason="Lyra runs on ai-edge-litert")
    return module("lyra").load(str(shared / "data/weights/lyra"), CPU)


# codec -> how it is loaded, and the points whose streams are tried
CODECS: dict[str, tuple[Callable[[Path], Codec], tuple[str, ...]]] = {
    "fixed": (shipped("fixed"), ("80hz",)),
    "codecslime": (shipped("codecslime"), ("80hz", "40hz")),
    "tfc": (shipped("tfc"), ("mixed_8q", "training_8q")),
    "flexicodec": (shipped("flexicodec"), ("8.3hz_q8", "12.5hz_q1")),
    "opus": (shipped("opus"), ("6kbps",)),
    "speex": (shipped("speex"), ("4kbps",)),
    "amr_nb": (shipped("amr_nb"), ("4.75kbps",)),
    "codec2": (shipped("codec2"), ("1.2kbps",)),
    "pcm": (shipped("pcm"), ("16bit_8khz",)),
    "reference": (shipped("reference"), ("original",)),
    "lyra": (lyra, ("3.2kbps",)),
    "encodec_24k": (lambda _: module("encodec_24k").EnCodec(tiny.encodec(), HERE, CPU, 320, 1024, 32), ("1.5kbps",)),
    "mimi": (lambda _: module("mimi").Mimi(tiny.mimi(), HERE, CPU, 1920, 64, 32), ("8q",)),
    "dac_16k": (lambda _: module("series.dac").DAC(tiny.dac(16000, (2, 4, 5, 8), 12), HERE, CPU, 320, 64, 12), ("2q",)),
    "lace_tfc": (lambda _: codec_module("lace_tfc").load(None, CPU), ("24hz_8q", "28.8hz_8q_shared")),
    "encodec_48k": (lambda _: module("encodec_48k").EnCodec48k(tiny.encodec_48k(), HERE, CPU), ("3kbps",)),
    "wavtokenizer": (lambda _: module("wavtokenizer").WavTokenizer(tiny.wavtokenizer(), HERE, CPU, 600, 64, 1), ("0.48kbps",)),
    "xcodec": (lambda _: module("bases.semantic").SemanticCodec(tiny.xcodec(), HERE, CPU, 320, 1024, 8, 16000), ("2q",)),
    "snac": (lambda _: module("snac").SNAC(tiny.snac(), HERE, CPU), ("0.98kbps",)),
}


@cache
def codec_and_streams(name: str, shared: Path) -> tuple[Codec, list[bytes]]:
    load, points = CODECS[name]
    codec = load(shared)
    rate = codec.sample_rate or 16000
    speech = torch.from_numpy(at_rate(sentence(), rate)[: round(SECONDS * rate)].copy())
    with torch.inference_mode():
        latent = codec.analyse(speech)
        return codec, [pack(codec.encode(latent, codec_module(name).POINTS[point])).data for point in points]


# --- mutations ----------------------------------------------------------------------------------------------------------------


def sealed(content: bytes) -> bytes:
    """A stream whose checksum is right, so that it is the parser that meets what is wrong."""
    return bitstream.MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def mutated(stream: bytes, rng: np.random.Generator) -> bytes:
    """One of the ways in which bytes go wrong; half of the time near the front, where the lengths are."""
    content = bytearray(stream[8:])
    near = min(len(content), 24) if rng.random() < 0.5 else len(content)
    match rng.integers(6):
        case 0:
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(near)] ^= 1 << rng.integers(8)
        case 1:
            content[rng.integers(near)] = rng.integers(256)
        case 2:
            at = rng.integers(near)
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        case 3:
            at = rng.integers(near)
            del content[at : at + rng.integers(1, 9)]
        case 4:
            at = rng.integers(near)
            content[at : at + 1] = b"\xff" * rng.integers(1, 6) + bytes([rng.integers(128)])  # a large number
        case 5:
            at, size = rng.integers(near), int(rng.integers(1, 9))
            content[at : at + size] = rng.bytes(size)
    return sealed(bytes(content))


def mutants(streams: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for index in range(count):
        yield mutated(streams[index % len(streams)], rng)


class Watch:
    """The CPU seconds of the slowest step, and by how many MB the process grew."""

    def __init__(self) -> None:
        self.slowest_s, self._before = 0.0, self._peak_mb()

    @staticmethod
    def _peak_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

    def grown_mb(self) -> float:
        return self._peak_mb() - self._before

    def attempt(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """None where ValueError is raised; any other exception is a fault."""
        started = time.process_time()
        try:
            return function(*arguments)
        except ValueError:
            return None
        finally:
            self.slowest_s = max(self.slowest_s, time.process_time() - started)


def unpack_mutants(streams: list[bytes], count: int, kept: int) -> tuple[int, list[Encoded], Watch]:
    """How many were taken, and the first of them; what they hold was checked by Stream itself (ranges of tokens and durations)."""
    watch, taken = Watch(), 0
    first: list[Encoded] = []
    for data in mutants(streams, count, seed=1):
        if (found := watch.attempt(unpack, data)) is not None:
            taken += 1
            if len(first) < kept:
                first.append(found)
    return taken, first, watch


def decode_mutants(codec: Codec, encoded: list[Encoded]) -> tuple[int, Watch]:
    """How many were decoded."""
    watch, decoded = Watch(), 0
    for each in encoded:
        with torch.inference_mode():
            audio = watch.attempt(codec.decode, each)
        if audio is not None:
            assert (audio.dtype, list(audio.shape)) == (torch.float32, [each.num_samples])
            decoded += 1
    return decoded, watch


def campaign(name: str, shared: Path, unpacked: int, decoded: int) -> str:
    codec, streams = codec_and_streams(name, shared)
    taken, first, reading = unpack_mutants(streams, unpacked, decoded)
    survived, decoding = decode_mutants(codec, first)
    told = (
        f"{name}: unpacked {unpacked}, survived {taken}, slowest {reading.slowest_s:.3f} s, grew {reading.grown_mb():.0f} MB; "
        f"decoded {len(first)}, survived {survived}, slowest {decoding.slowest_s:.3f} s, grew {decoding.grown_mb():.0f} MB"
    )
    assert max(reading.slowest_s, decoding.slowest_s) < 1.0, told
    assert max(reading.grown_mb(), decoding.grown_mb()) < 200, told
    return told


@pytest.mark.parametrize("name", CODECS)
def test_mutated_streams_are_refused_or_decode_to_their_length(name, shared, capsys):
    campaign(name, shared, unpacked=300, decoded=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", CODECS)
def test_a_hundred_thousand_mutated_streams_of_every_codec(name, shared, capsys):
    told = campaign(name, shared, unpacked=100_000, decoded=1000)
    with capsys.disabled():
        print(f"\n{told}")


# --- lies ---------------------------------------------------------------------------------------------------------------------


def forged(layout: Layout, *fields: tuple[int, int]) -> bytes:
    """A stream of `layout`, which is not looked at, and a body of (value, width in bits)."""
    bits = bitstream._BitWriter()
    for value, width in fields:
        bits.number(value, width)
    return sealed(bitstream._header(layout) + bits.to_bytes())


def of(codebook_sizes: tuple[int, ...], kind: int = 0, max_duration: int = 1, base_frames: int = 0, num_samples: int = 100) -> Layout:
    return Layout(num_samples, (bitstream._StreamLayout(codebook_sizes, kind, max_duration, base_frames),), 0, 0)


# its header, "own", num_samples of 31 bits or 100, "as many base frames as expected"
LONGEST = ((0, 1), (31, 5), (2**30 - 1, 30), (1, 1))
HUNDRED = ((0, 1), (7, 5), (100 - 64, 6), (1, 1))

LIES = {
    "2^34 frames of a codebook that costs nothing": forged(of((1,), base_frames=1600), *LONGEST, (1, 1)),
    "2^30 frames at a fixed rate": forged(of((1024,), base_frames=50), *LONGEST, (1, 1)),
    "2^30 even durations": forged(of((2,), 1, 2, base_frames=100), *LONGEST, (2**29, 30), (1, 1), (1, 1)),
    "2^27 nested durations of one frame": forged(of((2,), 2, 4, base_frames=100), *LONGEST, (1, 3), (1, 1)),
    "2^27 nested durations and no codebook": forged(of((), 2, 4, base_frames=100), *LONGEST, (1, 3), (1, 1)),
    "a nested slot of 65,536": forged(of((), 2, 2**16, base_frames=65536), *HUNDRED, (1, 17), (1, 1)),
    "nested durations of none": forged(of((2,), 2, 4, base_frames=100), *HUNDRED, (0, 3), (1, 1)),
    "a count of 2^40": forged(of((2,)), (0, 1), (7, 5), (36, 6), (1, 41), (0, 40)),
    "a length below 0": forged(of((2,), base_frames=1), *HUNDRED[:3], (1, 8), (72, 7), (1, 1)),
    "zeros without end": sealed(bitstream._header(of((2,))) + bytes(1000)),
    "a codebook of 2^34": forged(of((2**34,), base_frames=10), *HUNDRED, (1, 1)),
    "a codebook of none": forged(of((0,), base_frames=10), *HUNDRED, (1, 1)),
    "a duration of 2^34": forged(of((2,), 1, 2**34, base_frames=10), *HUNDRED, (1, 1)),
    "a duration of 0": forged(of((2,), 1, 0, base_frames=10), *HUNDRED, (1, 1)),
    "a fourth kind of durations": forged(of((2,), 3, 4, base_frames=10), *HUNDRED, (1, 1)),
    "num_samples of 2^34": forged(of((2,), num_samples=2**34), *HUNDRED, (1, 1)),
    "2^34 packets": forged(Layout(100, (), 2**34, 1), *HUNDRED, (1, 1)),
    "2^34 packets of nothing": forged(Layout(100, (), 2**34, 0), *HUNDRED, (1, 1)),
    "a packet of 2^34 bytes": forged(Layout(100, (), 1, 2**34), *HUNDRED[:3], (1, 1), (1, 1)),
    "2^34 streams": sealed(b"".join(map(bitstream._varint, (100, 0, 0, 2**34))) + bytes(8)),
    "2^34 codebooks": sealed(b"".join(map(bitstream._varint, (100, 0, 0, 1, 2**34, 1, 2))) + bytes(8)),
    "a megabyte of a number": sealed(b"\xff" * 2**20 + b"\x01"),
    "nothing": sealed(b""),
    "no bytes at all": b"",
}


def assert_refused_soon(data: bytes, function: Callable[[bytes], Any] = unpack) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(ValueError):
            function(data)
    finally:
        seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < 0.5  # 0.1 but for tracemalloc
    assert peak < 50e6


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused_before_memory_is_asked_for(lie):
    assert_refused_soon(LIES[lie])
    assert_refused_soon(LIES[lie], bitstream.entropy_unpack)


def test_streams_of_older_versions_and_of_other_programs_are_refused(shared):
    cases = sorted((shared / "cases/streams").glob("*.bin"))
    assert len(cases) > 20
    for path in cases:
        assert_refused_soon(path.read_bytes())
    with pytest.raises(ValueError, match="another version"):
        unpack(next(path for path in cases if path.name.startswith("scb1_opus")).read_bytes())
    with pytest.raises(ValueError, match="not a bitstream of this program"):
        unpack(b"RIFF" + bytes(100))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("factor", [1e-9, 0.5, 1.5, 1000, 2**31])
def test_num_samples_must_agree_with_the_frames(name, factor, shared):
    codec, streams = codec_and_streams(name, shared)
    encoded = unpack(streams[0])
    lying = replace(encoded, num_samples=min(bitstream.MAX_SAMPLES, round(factor * encoded.num_samples)))
    assert_refused_soon(pack(lying).data, lambda data: codec.decode(unpack(data)))


@pytest.mark.parametrize("name", CODECS)
def test_streams_of_other_codecs_are_refused(name, shared):
    codec, _ = codec_and_streams(name, shared)
    one = Stream(torch.zeros(1, 40).long(), (7,))
    for other in (
        Encoded((), 8000),
        Encoded((one,), 8000),
        Encoded((one, one), 8000),
        Encoded((Stream(one.tokens, (18226,), torch.ones(40).long(), 4),), 8000),
        Encoded((Stream(one.tokens, (1023,), torch.ones(40).long(), 4, nested=True),), 8000),
        Encoded((Stream(torch.zeros(0, 40).long(), ()),), 8000),
        Encoded((Stream(torch.zeros(99, 40).long(), (1024,) * 99),), 8000),
        Encoded((), 8000, (b"", b"x")),
        Encoded((), 8000, (b"x" * 12,) * 3),
        Encoded((one,), 8000, (b"\xff",)),
    ):
        with pytest.raises(ValueError):
            codec.decode(unpack(pack(other).data))


def test_points_are_those_of_the_codecs():
    for name, (_, points) in CODECS.items():
        assert all(point in codec_module(name).POINTS for point in points)
