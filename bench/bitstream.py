"""Encoded to bytes and back: the stream that every number comes from, and the arithmetic of its bits.

A stream is MAGIC, a checksum, a header, a body, and packets. The header is the layout: what a codec's streams have in common at a point,
whatever the audio (codebooks, kind of durations, how many frames and packets so much audio is expected to have). The body holds, as whole
bits: whether the header is the codec's own, the lengths, the durations, the tokens.

Counted are all bits of body and packets, and the header too unless it is the one that the codec has for any audio (`Packer`). So whoever
knows codec and point decodes from the counted bits alone: what hides in a length, in a codebook's size or in any other field is paid for.
Not counted are MAGIC and checksum, which follow from the rest, the codec's own header, and up to 7 bits that fill the body's last byte.

Lengths are bounded by the bits that are there, by `num_samples` and by the limits below, before memory is asked for. Only `unpack`,
`entropy_unpack` and `Packer` import torch.
"""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.codec import Codec, Encoded, OperatingPoint, Stream

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = b"SCB2"
MAX_SAMPLES = 2**31 - 1
MAX_STREAMS, MAX_CODEBOOKS, MAX_CODEBOOK_SIZE, MAX_DURATION = 64, 1024, 2**32, 2**16
MAX_FREE_TOKENS = 2**14  # of codebooks of one entry, which cost no bit: frames of a stream without codebooks count as such
MAX_FRAMES_PER_SAMPLE, MAX_PADDING = 16, 2**16  # base frames <= MAX_FRAMES_PER_SAMPLE * num_samples + MAX_PADDING
MAX_ENTROPY_TOKENS = 2**22  # of an entropy-coded stream, whose tokens may cost next to nothing
TYPICAL_S = 2.0  # of the noise whose layout is the codec's own
_NOISE_LEVEL = 0.1
_FEW_DIGITS = 32  # of a number that are taken one by one
_FEW_SYMBOLS = 16  # that are counted one by one
_BLOCK = 1024  # tokens that share one whole number of bits: rounding costs less than 0.001 bit a token
_FIXED_RATE, _FREE, _NESTED = range(3)  # kinds of durations: none, any, powers of two on their grid


@dataclass(frozen=True)
class Packed:
    """A decodable bitstream and where its bits went.

    bits_tokens   tokens and packets
    bits_side     lengths, durations, and a header that is not the codec's own; the rest of bits_total is not counted (see above)
    """

    data: bytes
    bits_tokens: int
    bits_side: int

    @property
    def bits_total(self) -> int:
        return 8 * len(self.data)

    @property
    def bits_counted(self) -> int:
        return self.bits_tokens + self.bits_side


@dataclass(frozen=True)
class ArrayStream:
    """A `Stream` without torch: tokens int64 [N_q, F], durations int64 [F]."""

    tokens: NDArray[np.int64]
    codebook_sizes: tuple[int, ...]
    durations: NDArray[np.int64] | None
    max_duration: int
    nested: bool

    @property
    def num_frames(self) -> int:
        return self.tokens.shape[1]


@dataclass(frozen=True)
class ArrayEncoded:
    """An `Encoded` without torch."""

    streams: tuple[ArrayStream, ...]
    num_samples: int
    packets: tuple[bytes, ...]


@dataclass(frozen=True)
class _StreamLayout:
    """base_frames: of `Layout.num_samples` samples; of a stream without durations its token frames."""

    codebook_sizes: tuple[int, ...]
    kind: int
    max_duration: int
    base_frames: int

    @property
    def side_alphabet(self) -> int:
        return 2 if self.kind == _NESTED else self.max_duration


@dataclass(frozen=True)
class Layout:
    """What a header says: the streams of one codec at one point, and the lengths that they have for `num_samples` of some audio.

    packet_length   bytes of every packet; 0 where they differ
    """

    num_samples: int
    streams: tuple[_StreamLayout, ...]
    num_packets: int
    packet_length: int

    def fits(self, other: Layout) -> bool:
        """Whether streams of the layout `other` can be told under this header: all but the lengths is the same."""
        return len(self.streams) == len(other.streams) and all(
            (mine.codebook_sizes, mine.kind, mine.max_duration) == (its.codebook_sizes, its.kind, its.max_duration)
            for mine, its in zip(self.streams, other.streams, strict=True)
        )


def layout_of(encoded: Encoded) -> Layout:
    """The layout of `encoded`; ValueError where it is beyond what a stream can hold."""
    lengths = set(map(len, encoded.packets))
    layout = Layout(
        encoded.num_samples,
        tuple(
            _StreamLayout(
                stream.codebook_sizes,
                _FIXED_RATE if stream.durations is None else _NESTED if stream.nested else _FREE,
                stream.max_duration,
                stream.num_frames if stream.durations is None else int(stream.durations.sum()),
            )
            for stream in encoded.streams
        ),
        len(encoded.packets),
        lengths.pop() if len(lengths) == 1 else 0,
    )
    _check_layout(layout)
    return layout


def pack(encoded: Encoded, own: Layout | None = None) -> Packed:
    """The bitstream of `encoded`: each token costs log2 of its codebook's size, whatever that size is (mixed radix).

    Durations that are as even as they can be cost nothing, others log2(max_duration) each, nested ones a flag wherever a slot could be
    split; the lengths about 20 bits for `num_samples` and 1 to 10 for each stream.

    own   the layout that the codec has at this point for any audio (`Packer` knows it); where the stream's own differs, its header is
          counted; None takes the stream's own for it, as where there is no other utterance to tell it from
    """
    return _packed(_content(encoded, own))


def unpack(data: bytes) -> Encoded:
    """The inverse of `pack`; ValueError says what is wrong with bytes that it did not write."""
    return _with_tensors(unpack_arrays(data))


def unpack_arrays(data: bytes) -> ArrayEncoded:
    """`unpack` without torch."""
    layout, bits = _opened(data)
    plan = _read_lengths(bits, layout)
    bits.end -= 8 * sum(plan.packet_lengths)
    if bits.end < bits.position:
        raise ValueError("the bitstream is cut short")
    _check_paid(layout, plan, bits)
    durations = [
        _durations(shape, span, bits.read, _most_frames(shape, bits)) for shape, span in zip(layout.streams, plan.spans, strict=True)
    ]
    streams = []
    for shape, span, values in zip(layout.streams, plan.spans, durations, strict=True):
        frames = span.num_frames if values is None else len(values)
        streams.append(_array_stream(shape, [bits.read(frames, size) for size in shape.codebook_sizes], frames, values))
    if bits.end - bits.position > 7:
        raise ValueError("the bitstream is longer than it says")
    return ArrayEncoded(tuple(streams), plan.num_samples, _packets(data, plan))


def entropy_pack(encoded: Encoded, own: Layout | None = None) -> Packed:
    """The same content through a range coder whose models adapt as they go, from nothing but what was sent before.

    Tokens have one order-0 model a codebook; durations and flags one that also sees the value before. Every model starts uniform
    and counts with a prior of 1/2 (Krichevsky and Trofimov 1981): a short utterance gains little and loses little. Packets are
    already entropy-coded and stay as they are, as do the lengths. A size to be reported, not a format to be stored.
    """
    return _entropy_packed(_content(encoded, own))


def pack_both(encoded: Encoded, own: Layout | None = None) -> tuple[Packed, Packed]:
    """`pack` and `entropy_pack`."""
    content = _content(encoded, own)
    return _packed(content), _entropy_packed(content)


def entropy_unpack(data: bytes) -> Encoded:
    """The inverse of `entropy_pack`, slowly."""
    import constriction

    layout, bits = _opened(data)
    plan = _read_lengths(bits, layout)
    _check_free(layout, plan)
    tokens = sum(span.base_frames * len(shape.codebook_sizes) for shape, span in zip(layout.streams, plan.spans, strict=True))
    if tokens > MAX_ENTROPY_TOKENS:
        raise ValueError(f"the bitstream claims more than {MAX_ENTROPY_TOKENS} tokens")
    start, end = -(-bits.position // 8), bits.end // 8 - sum(plan.packet_lengths)
    if end < start or (end - start) % 4:
        raise ValueError("the bitstream is cut short")
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data[start:end], "<u4").astype(np.uint32))
    bernoulli = constriction.stream.model.Bernoulli(perfect=False)

    def read_bit(_bit: int, probability: float) -> int:
        return int(coder.decode(bernoulli, np.array([probability]))[0])

    side = [_Counts(shape.side_alphabet, True, read_bit) for shape in layout.streams]
    durations = [
        _durations(shape, span, reader.read, MAX_ENTROPY_TOKENS)
        for shape, span, reader in zip(layout.streams, plan.spans, side, strict=True)
    ]
    streams = []
    for shape, span, values in zip(layout.streams, plan.spans, durations, strict=True):
        frames = span.num_frames if values is None else len(values)
        rows = [_Counts(size, False, read_bit).read(frames, size) for size in shape.codebook_sizes]
        streams.append(_array_stream(shape, rows, frames, values))
    return _with_tensors(ArrayEncoded(tuple(streams), plan.num_samples, _packets(data, plan)))


class Packer:
    """Packs what a loaded codec encodes, and knows the header that the codec has for any audio.

    That is the header of two seconds of quiet noise, always the same, which the codec hears before it is given anything else: so it
    tells nothing of an utterance, and needs not be counted. Another process compares it with its own (`is_paid`).
    """

    def __init__(self, codec: Codec) -> None:
        import torch

        rate = codec.sample_rate or 16000
        num_samples = codec.hop_length * math.ceil(TYPICAL_S * rate / codec.hop_length)
        noise = _NOISE_LEVEL * torch.randn(num_samples, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
        self._codec = codec
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        with torch.inference_mode():
            self._latent = codec.analyse(noise)

    def layout(self, point: OperatingPoint) -> Layout:
        import torch

        key = (point.name, point.frame_rate, point.n_q, *sorted(point.options.items()))
        if key not in self._layouts:
            with torch.inference_mode():
                self._layouts[key] = layout_of(self._codec.encode(self._latent, point))
        return self._layouts[key]

    def pack(self, encoded: Encoded, point: OperatingPoint) -> Packed:
        return pack(encoded, self.layout(point))

    def pack_both(self, encoded: Encoded, point: OperatingPoint) -> tuple[Packed, Packed]:
        return pack_both(encoded, self.layout(point))

    def is_paid(self, data: bytes, point: OperatingPoint) -> bool:
        """Whether the header of a packed stream was counted, or is the one that this codec has for any audio."""
        layout, bits = _opened(data)
        return bool(bits.number(0, 1)) or layout == self.layout(point)


# --- content ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Content:
    """What a bitstream has to tell, however its bits are spent.

    header_bits   that are counted
    side, rows    symbols and their alphabet: durations, of each stream; tokens, of each codebook
    """

    layout: Layout
    header_bits: int
    lengths: _BitWriter
    side: Sequence[tuple[list[int], int]]
    rows: Sequence[tuple[list[int], int]]
    packets: bytes


def _content(encoded: Encoded, own: Layout | None) -> _Content:
    layout, is_own = _chosen_layout(encoded, own)
    lengths = _BitWriter()
    plan = _write_lengths(lengths, encoded, layout, is_own)
    side: list[tuple[list[int], int]] = []
    rows: list[tuple[list[int], int]] = []
    for stream, shape, span in zip(encoded.streams, layout.streams, plan.spans, strict=True):
        side.append((_side_symbols(stream, shape, span), shape.side_alphabet))
        rows += zip(stream.tokens.tolist(), stream.codebook_sizes, strict=True)
    header_bits = 0 if is_own else 8 * len(_header(layout))
    return _Content(layout, header_bits, lengths, side, rows, b"".join(encoded.packets))


def _packed(content: _Content) -> Packed:
    bits = _BitWriter(content.lengths)
    for symbols, size in content.side:
        bits.write(symbols, size)
    bits_side = bits.length
    for symbols, size in content.rows:
        bits.write(symbols, size)
    data = _sealed(content.layout, bits.to_bytes() + content.packets)
    return Packed(data, bits.length - bits_side + 8 * len(content.packets), bits_side + content.header_bits)


def _entropy_packed(content: _Content) -> Packed:
    import constriction

    side = [_adaptive_bits(symbols, size, use_previous=True) for symbols, size in content.side]
    coded = [*side, *(_adaptive_bits(symbols, size, use_previous=False) for symbols, size in content.rows)]
    coder = constriction.stream.queue.RangeEncoder()
    if any(len(bits) for bits, _ in coded):
        bits, probabilities = (np.concatenate(parts) for parts in zip(*coded, strict=True))
        coder.encode(bits, constriction.stream.model.Bernoulli(perfect=False), probabilities)
    words = coder.get_compressed().astype("<u4").tobytes()
    # what the coder spends on durations is their share of the information: the words hold both
    bits_durations = round(sum(float(-np.log2(np.where(bits == 1, p, 1 - p)).sum()) for bits, p in side if len(bits)))
    data = _sealed(content.layout, content.lengths.to_bytes() + words + content.packets)
    bits_tokens = 8 * (len(words) + len(content.packets)) - bits_durations
    return Packed(data, bits_tokens, content.lengths.length + bits_durations + content.header_bits)


# --- header -------------------------------------------------------------------------------------------------------------------


def _chosen_layout(encoded: Encoded, own: Layout | None) -> tuple[Layout, bool]:
    """The layout for the header, and whether it is the codec's own."""
    layout = layout_of(encoded)
    if own is None:
        return layout, True
    return (own, True) if own.fits(layout) else (layout, False)


@functools.lru_cache(maxsize=64)
def _header(layout: Layout) -> bytes:
    numbers = [layout.num_samples, layout.num_packets, layout.packet_length, len(layout.streams)]
    for shape in layout.streams:
        numbers += [*_run(shape.codebook_sizes), shape.kind, shape.max_duration, shape.base_frames]
    return b"".join(map(_varint, numbers))


def header_of(data: bytes) -> bytes:
    """The bytes of the header of a packed stream: the same for all audio at one point, or counted."""
    _, bits = _opened(data)
    return data[8 : bits.position // 8]


def _sealed(layout: Layout, rest: bytes) -> bytes:
    content = _header(layout) + rest
    return MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def _opened(data: bytes) -> tuple[Layout, _BitReader]:
    """The header of a stream, and a reader that stands at the body's first bit and ends with the data."""
    if data[:3] == MAGIC[:3] and data[:4] != MAGIC:
        raise ValueError(f"a bitstream of another version of this program: it begins with {data[:4]!r}, not with {MAGIC!r}")
    if not data.startswith(MAGIC):
        raise ValueError(f"not a bitstream of this program: it does not begin with {MAGIC!r}")
    if zlib.crc32(data[8:]).to_bytes(4, "little") != data[4:8]:
        raise ValueError("the bitstream is damaged or cut short: its checksum is another")
    reader = _VarintReader(data, 8)
    num_samples, num_packets, packet_length, num_streams = (reader.read() for _ in range(4))
    if num_streams > MAX_STREAMS:
        raise ValueError(f"the header claims {num_streams} streams; there can be {MAX_STREAMS}")
    streams = tuple(_StreamLayout(tuple(reader.read_run()), reader.read(), reader.read(), reader.read()) for _ in range(num_streams))
    layout = Layout(num_samples, streams, num_packets, packet_length)
    _check_layout(layout)
    return layout, _BitReader(data, 8 * reader.position)


@functools.lru_cache(maxsize=64)
def _check_layout(layout: Layout) -> None:
    """ValueError where a limit is passed."""
    if not 0 <= layout.num_samples <= MAX_SAMPLES:
        raise ValueError(f"num_samples is {layout.num_samples}; it can be 0 to {MAX_SAMPLES}")
    if len(layout.streams) > MAX_STREAMS:
        raise ValueError(f"there are {len(layout.streams)} streams; there can be {MAX_STREAMS}")
    for shape in layout.streams:
        if len(shape.codebook_sizes) > MAX_CODEBOOKS:
            raise ValueError(f"there are {len(shape.codebook_sizes)} codebooks in a stream; there can be {MAX_CODEBOOKS}")
        if not all(1 <= size <= MAX_CODEBOOK_SIZE for size in shape.codebook_sizes):
            raise ValueError(f"a codebook's size must be 1 to {MAX_CODEBOOK_SIZE}")
        if not 1 <= shape.max_duration <= MAX_DURATION:
            raise ValueError(f"max_duration is {shape.max_duration}; it can be 1 to {MAX_DURATION}")
        if shape.kind > _NESTED:
            raise ValueError("the header is damaged: no such kind of durations")
        if shape.kind == _NESTED and shape.max_duration & (shape.max_duration - 1):
            raise ValueError(f"max_duration of nested durations must be a power of two, got {shape.max_duration}")
        _check_base_frames(shape.base_frames, layout.num_samples)


def _check_base_frames(base_frames: int, num_samples: int) -> None:
    if not 0 <= base_frames <= MAX_FRAMES_PER_SAMPLE * num_samples + MAX_PADDING:
        raise ValueError(f"{base_frames} base frames are too many for {num_samples} samples")


def _run(values: Sequence[int]) -> list[int]:
    """Count, whether all are the same, and the values (one, if so)."""
    same = len(set(values)) <= 1
    return [len(values), int(same), *(values[:1] if same else values)]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class _VarintReader:
    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def read(self) -> int:
        value = shift = 0
        while True:
            if self.position >= len(self.data):
                raise ValueError("the bitstream is cut short")
            if shift > 35:
                raise ValueError("the header is damaged: a number is too long")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def read_run(self) -> list[int]:
        count, same = self.read(), self.read()
        if count > MAX_CODEBOOKS:
            raise ValueError(f"the header claims {count} codebooks in a stream; there can be {MAX_CODEBOOKS}")
        return [self.read()] * count if same and count else [self.read() for _ in range(count)]


# --- lengths ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Span:
    """How long a stream is.

    num_frames   token frames; of nested durations 0: they follow from the flags
    is_even      durations are as even as they can be, and follow from the two numbers
    present      the nested durations that occur, as the sum of these powers of two
    """

    base_frames: int = 0
    num_frames: int = 0
    is_even: bool = False
    present: int = 0


@dataclass(frozen=True)
class _Plan:
    num_samples: int
    spans: tuple[_Span, ...]
    packet_lengths: tuple[int, ...]


class _Bits(Protocol):
    """A writer, or a reader, which passes over the values and answers with what it reads."""

    def number(self, value: int, width: int) -> int: ...

    def unary(self, value: int) -> int: ...

    def room_for(self, count: int) -> None: ...


def _write_lengths(bits: _BitWriter, encoded: Encoded, layout: Layout, is_own: bool) -> _Plan:
    spans = tuple(_span(stream, shape) for stream, shape in zip(encoded.streams, layout.streams, strict=True))
    plan = _Plan(encoded.num_samples, spans, tuple(map(len, encoded.packets)))
    bits.number(int(not is_own), 1)
    _lengths(bits, layout, plan)
    _check_free(layout, plan)
    return plan


def _read_lengths(bits: _BitReader, layout: Layout) -> _Plan:
    bits.number(0, 1)
    plan = _lengths(bits, layout, _Plan(0, (_Span(),) * len(layout.streams), ()))
    for span in plan.spans:
        _check_base_frames(span.base_frames, plan.num_samples)
        if span.num_frames > span.base_frames:
            raise ValueError(f"{span.num_frames} token frames can not last {span.base_frames} base frames")
    return plan


def _lengths(bits: _Bits, layout: Layout, plan: _Plan) -> _Plan:
    """Writes `plan`, or reads another."""
    width = bits.number(plan.num_samples.bit_length(), 5)
    num_samples = 1 << (width - 1) | bits.number(plan.num_samples - (1 << (width - 1)), width - 1) if width else 0
    spans = []
    for shape, span in zip(layout.streams, plan.spans, strict=True):
        base_frames = _near(bits, _expected(shape.base_frames, num_samples, layout), span.base_frames)
        if shape.kind == _FIXED_RATE:
            spans.append(_Span(base_frames, base_frames))
        elif shape.kind == _NESTED:
            spans.append(_Span(base_frames, present=bits.number(span.present, shape.max_duration.bit_length())))
        else:
            fewest = -(-base_frames // shape.max_duration)
            num_frames = fewest + bits.number(span.num_frames - fewest, (base_frames - fewest).bit_length())
            spans.append(_Span(base_frames, num_frames, bool(bits.number(span.is_even, 1))))
    count = _near(bits, _expected(layout.num_packets, num_samples, layout), len(plan.packet_lengths))
    lengths: tuple[int, ...] = (layout.packet_length,) * len(plan.packet_lengths)
    if count and bits.number(int(plan.packet_lengths == lengths), 1):
        bits.room_for(count * max(1, 8 * layout.packet_length))
        lengths = (layout.packet_length,) * count
    elif count:
        width = bits.number(max(plan.packet_lengths, default=0).bit_length(), 5)
        bits.room_for(count * max(1, width))
        lengths = tuple(bits.number(length, width) for length in plan.packet_lengths or itertools.repeat(0, count))
    return _Plan(num_samples, tuple(spans), lengths)


def _expected(count: int, num_samples: int, layout: Layout) -> int:
    return -(-num_samples * count // layout.num_samples) if layout.num_samples else count


def _near(bits: _Bits, expected: int, count: int) -> int:
    """A count that is likely `expected`: 1 bit if it is, 3 if it is off by one, and so on (Elias gamma of the difference)."""
    difference = count - expected
    symbol = 1 + (2 * difference if difference >= 0 else -2 * difference - 1)
    width = bits.unary(symbol.bit_length() - 1)
    symbol = (1 << width | bits.number(symbol - (1 << width), width)) - 1
    count = expected + (symbol // 2 if symbol % 2 == 0 else -(symbol + 1) // 2)
    if count < 0:
        raise ValueError("the bitstream is damaged: a length is below 0")
    return count


def _span(stream: Stream, shape: _StreamLayout) -> _Span:
    if stream.durations is None:
        return _Span(stream.num_frames, stream.num_frames)
    durations = np.array(stream.durations.tolist(), np.int64)
    base_frames = int(durations.sum())
    if shape.kind == _NESTED:
        return _Span(base_frames, present=sum(set(durations.tolist())))
    return _Span(base_frames, len(durations), np.array_equal(durations, _even(base_frames, len(durations))))


def _even(base_frames: int, num_frames: int) -> NDArray[np.int64]:
    """Durations as equal as they can be, the odd frames spread (Bresenham)."""
    return np.diff(np.arange(num_frames + 1) * base_frames // max(num_frames, 1))


def _check_free(layout: Layout, plan: _Plan) -> None:
    """ValueError where tokens that cost no bit are more than a stream may have."""
    free = 0
    for shape, span in zip(layout.streams, plan.spans, strict=True):
        frames = span.base_frames // (1 << span.present.bit_length() - 1) if span.present else span.num_frames
        free += frames * (sum(size == 1 for size in shape.codebook_sizes) or not shape.codebook_sizes)
    if free > MAX_FREE_TOKENS:
        raise ValueError(f"there are {free} tokens of codebooks with one entry; there can be {MAX_FREE_TOKENS}")


def _check_paid(layout: Layout, plan: _Plan, bits: _BitReader) -> None:
    """ValueError where the tokens, a bit each at least, can't be there."""
    _check_free(layout, plan)
    for shape, span in zip(layout.streams, plan.spans, strict=True):
        frames = -(-span.base_frames // shape.max_duration) if shape.kind == _NESTED else span.num_frames
        bits.room_for(frames * sum(size > 1 for size in shape.codebook_sizes))


def _most_frames(shape: _StreamLayout, bits: _BitReader) -> int:
    """Token frames for which there may be room."""
    paid = sum(size > 1 for size in shape.codebook_sizes)
    return (bits.end - bits.position) // paid if paid else MAX_FREE_TOKENS


def _packets(data: bytes, plan: _Plan) -> tuple[bytes, ...]:
    ends = itertools.accumulate(plan.packet_lengths, initial=len(data) - sum(plan.packet_lengths))
    return tuple(data[start:end] for start, end in itertools.pairwise(ends))


def _array_stream(shape: _StreamLayout, rows: Sequence[Sequence[int]], frames: int, durations: NDArray[np.int64] | None) -> ArrayStream:
    tokens = np.array(rows, np.int64).reshape(len(shape.codebook_sizes), frames)
    return ArrayStream(tokens, shape.codebook_sizes, durations, shape.max_duration, shape.kind == _NESTED)


def _with_tensors(encoded: ArrayEncoded) -> Encoded:
    import torch

    def tensor(values: NDArray[np.int64] | None) -> Tensor | None:
        return None if values is None else torch.from_numpy(values)

    streams = tuple(
        Stream(torch.from_numpy(each.tokens), each.codebook_sizes, tensor(each.durations), each.max_duration, each.nested)
        for each in encoded.streams
    )
    return Encoded(streams, encoded.num_samples, encoded.packets)


# --- durations ----------------------------------------------------------------------------------------------------------------


def _side_symbols(stream: Stream, shape: _StreamLayout, span: _Span) -> list[int]:
    """Durations as symbols below `shape.side_alphabet`: any as d - 1, nested ones as split flags, even ones as nothing."""
    if stream.durations is None or span.is_even:
        return []
    durations = stream.durations.tolist()
    if shape.kind == _FREE:
        return [duration - 1 for duration in durations]
    starts = np.cumsum(durations) - durations
    at_start = dict(zip(starts.tolist(), durations, strict=True))
    flags: list[int] = []

    def is_split(start: int, size: int) -> int:
        flags.append(int(at_start.get(start) != size))
        return flags[-1]

    if _walk(shape, span, is_split, span.base_frames) != durations:
        raise ValueError(_OFF_GRID)
    return flags


def _durations(shape: _StreamLayout, span: _Span, read: Callable[[int, int], list[int]], most_frames: int) -> NDArray[np.int64] | None:
    """The durations that `_side_symbols` told, from read(count, alphabet); None at a fixed rate."""
    if shape.kind == _FIXED_RATE:
        return None
    if shape.kind == _NESTED:
        walked = _walk(shape, span, lambda _start, _size: read(1, shape.side_alphabet)[0], most_frames)
        return np.array(walked, np.int64)
    if span.is_even:
        return _even(span.base_frames, span.num_frames)
    durations = np.array(read(span.num_frames, shape.side_alphabet), np.int64) + 1
    if int(durations.sum()) != span.base_frames:
        raise ValueError(f"the bitstream is damaged: durations last {int(durations.sum())} base frames, not {span.base_frames}")
    return durations


_OFF_GRID = "nested durations must be powers of two that start at multiples of themselves"


def _walk(shape: _StreamLayout, span: _Span, is_split: Callable[[int, int], int], most_frames: int) -> list[int]:
    """Nested durations in time order; is_split(start, size) is asked only where a slot may be either whole or split."""
    shortest = span.present & -span.present
    if span.base_frames and not shortest:
        raise ValueError(_OFF_GRID)
    durations: list[int] = []
    for slot in range(0, span.base_frames, shape.max_duration):
        slots = [(slot, shape.max_duration)]
        while slots:
            start, size = slots.pop()
            if start >= span.base_frames:
                continue
            may_be_whole = size & span.present and start + size <= span.base_frames
            if may_be_whole and (size == shortest or not is_split(start, size)):
                durations.append(size)
                if len(durations) > most_frames:
                    raise ValueError("the bitstream claims more frames than it has bits for")
            elif size <= shortest:
                raise ValueError(_OFF_GRID)
            else:
                slots += [(start + size // 2, size // 2), (start, size // 2)]
    return durations


# --- whole bits ---------------------------------------------------------------------------------------------------------------


def _block_bits(count: int, size: int) -> int:
    return int((size**count - 1).bit_length())


def _number(digits: Sequence[int], size: int) -> int:
    """The number that has these digits to the base `size`: of long numbers the halves first, which are shorter to reckon with."""
    if len(digits) > _FEW_DIGITS:
        low = len(digits) // 2
        return _number(digits[:-low], size) * size**low + _number(digits[-low:], size)
    number = 0
    for digit in digits:
        number = number * size + digit
    return number


def _digits(number: int, count: int, size: int) -> list[int]:
    """The inverse of `_number`."""
    if count > _FEW_DIGITS:
        high, low = divmod(number, size ** (count // 2))
        return _digits(high, count - count // 2, size) + _digits(low, count // 2, size)
    digits = []
    for _ in range(count):
        number, digit = divmod(number, size)
        digits.append(digit)
    return digits[::-1]


class _BitWriter:
    """Symbols of any alphabet, `_BLOCK` at a time as the digits of one number."""

    def __init__(self, begun: _BitWriter | None = None) -> None:
        self.blocks: list[str] = list(begun.blocks) if begun else []
        self.length: int = begun.length if begun else 0

    def number(self, value: int, width: int) -> int:
        assert 0 <= value < 1 << width
        if width:
            self.blocks.append(f"{value:0{width}b}")
            self.length += width
        return value

    def unary(self, value: int) -> int:
        self.number(1, value + 1)
        return value

    def room_for(self, count: int) -> None:
        """There is always room."""

    def write(self, symbols: Sequence[int], size: int) -> None:
        for start in range(0, len(symbols), _BLOCK):
            block = symbols[start : start + _BLOCK]
            self.number(_number(block, size), _block_bits(len(block), size))

    def to_bytes(self) -> bytes:
        padding = -self.length % 8
        return int("".join(self.blocks) + "0" * padding or "0", 2).to_bytes((self.length + padding) // 8, "big")


class _BitReader:
    """Reads `data` from bit `position` to bit `end`."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position, self.end = data, position, 8 * len(data)

    def number(self, _value: int, width: int) -> int:
        stop = self.position + width
        if stop > self.end:
            raise ValueError("the bitstream is cut short")
        last = -(-stop // 8)
        whole = int.from_bytes(self.data[self.position // 8 : last], "big") >> (8 * last - stop)
        self.position = stop
        return whole & ((1 << width) - 1)

    def unary(self, _value: int) -> int:
        zeros = 0
        while not self.number(0, 1):
            zeros += 1
            if zeros > 40:
                raise ValueError("the bitstream is damaged: a length is too large")
        return zeros

    def room_for(self, count: int) -> None:
        """ValueError where `count` bits are more than there are, and more than a stream may have of what costs nothing."""
        if count > max(self.end - self.position, MAX_FREE_TOKENS):
            raise ValueError("the bitstream claims more than it has bits for")

    def read(self, count: int, size: int) -> list[int]:
        symbols: list[int] = []
        for start in range(0, count, _BLOCK):
            length = min(_BLOCK, count - start)
            number = self.number(0, _block_bits(length, size))
            if number >= size**length:
                raise ValueError("the bitstream is damaged: a number is larger than its alphabet allows")
            symbols += _digits(number, length, size)
        return symbols


# --- adaptive bits ------------------------------------------------------------------------------------------------------------
# A symbol is a path through a binary tree over its alphabet. A node's two counts start at 1/2 for each symbol below, so that the
# product along a path is the Krichevsky-Trofimov estimate over the whole alphabet, uniform at the start.


def _depth(size: int) -> int:
    return max(size - 1, 0).bit_length()


def _adaptive_bits(symbols: Sequence[int], size: int, use_previous: bool) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Bits and, of each, the probability of a 1 before it was seen; bits that can only be one thing are left out."""
    if len(symbols) <= _FEW_SYMBOLS:
        bits: list[int] = []
        probabilities: list[float] = []

        def write_bit(bit: int, probability: float) -> int:
            bits.append(bit)
            probabilities.append(probability)
            return bit

        counts = _Counts(size, use_previous, write_bit)
        for symbol in symbols:
            counts.code(symbol)
        return np.array(bits, np.int32), np.array(probabilities)
    return _adaptive_bits_of_many(np.array(symbols, np.int64), size, use_previous)


def _adaptive_bits_of_many(values: NDArray[np.int64], size: int, use_previous: bool) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """What `_Counts` says of one symbol after the other, a level of the tree at a time."""
    depth, count = _depth(size), len(values)
    context = np.concatenate([[size], values[:-1]]) if use_previous else np.zeros(count, np.int64)
    bits, probabilities = np.empty((count, depth), np.int32), np.empty((count, depth))
    for place, level in enumerate(reversed(range(depth))):
        bit, node = values >> level & 1, values >> (level + 1)
        # counts so far at the node: what came before in the same context, found by sorting, in time order, by node and context
        group = context << depth | node
        order = np.argsort(group, kind="stable")
        grouped = group[order]
        starts = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
        lengths = np.concatenate([starts[1:], [count]]) - starts
        ones = np.cumsum(bit[order]) - bit[order]
        seen, seen_ones = np.empty(count), np.empty(count)
        seen[order] = np.arange(count) - np.repeat(starts, lengths)
        seen_ones[order] = ones - np.repeat(ones[starts], lengths)
        below_one, below = (
            np.minimum(np.maximum(size - (top << low), 0), 1 << low) for top, low in ((2 * node + 1, level), (node, level + 1))
        )
        bits[:, place] = bit
        probabilities[:, place] = (seen_ones + 0.5 * below_one) / (seen + 0.5 * below)
    is_open = (probabilities > 0.0) & (probabilities < 1.0)
    return bits[is_open], probabilities[is_open]


class _Counts:
    """Codes symbols one by one with what was counted of those before.

    code_bit(bit, probability of a 1)   writes a bit, or passes over it and answers with the one that it reads
    """

    def __init__(self, size: int, use_previous: bool, code_bit: Callable[[int, float], int]) -> None:
        self.size, self.depth, self.use_previous, self.code_bit = size, _depth(size), use_previous, code_bit
        self.seen: defaultdict[tuple[int, int, int], int] = defaultdict(int)  # of context, level and node
        self.context = size

    def read(self, count: int, _size: int) -> list[int]:
        return [self.code(0) for _ in range(count)]

    def code(self, symbol: int) -> int:
        node = 0
        for level in reversed(range(self.depth)):
            one = self._weight(level, 2 * node + 1)
            either = self._weight(level + 1, node)
            bit = symbol >> level & 1
            bit = self.code_bit(bit, one / either) if 0.0 < one < either else int(one > 0)
            self.seen[self.context, level + 1, node] += 1
            node = 2 * node + bit
        self.seen[self.context, 0, node] += 1
        if self.use_previous:
            self.context = node
        return node

    def _weight(self, level: int, node: int) -> float:
        """What was seen of the symbols below a node, `level` bits above the leaves, with their prior."""
        return self.seen[self.context, level, node] + 0.5 * min(max(self.size - (node << level), 0), 1 << level)
