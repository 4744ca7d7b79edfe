"""Encoded to bytes and back: the stream that every number comes from, and the arithmetic of its bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch

from bench.codec import Encoded, Stream

MAGIC = b"SCB1"
_BLOCK = 1024  # tokens that share one whole number of bits: rounding costs less than 0.001 bit a token
_FIXED_RATE, _CONSTANT, _LISTED, _NESTED = range(4)  # how a stream's durations are told


@dataclass(frozen=True)
class Packed:
    """A decodable bitstream and where its bits went; the rest of bits_total is header and padding to whole bytes."""

    data: bytes
    bits_tokens: int
    bits_side: int

    @property
    def bits_total(self) -> int:
        return 8 * len(self.data)


def pack(encoded: Encoded) -> Packed:
    """The bitstream of `encoded`: each token costs log2 of its codebook's size, whatever that size is (mixed radix).

    Durations that all agree cost nothing, listed ones log2(max_duration) each, nested ones a flag wherever a slot could be split.
    """
    layouts = [_layout(stream) for stream in encoded.streams]
    bits = _BitWriter()
    for stream, layout in zip(encoded.streams, layouts, strict=True):
        bits.write(_side_symbols(stream, layout), layout.side_alphabet)
    bits_side = bits.length
    for stream in encoded.streams:
        for row, size in zip(stream.tokens.tolist(), stream.codebook_sizes, strict=True):
            bits.write(row, size)
    bits_tokens = bits.length - bits_side + 8 * sum(map(len, encoded.packets))
    header, packet_length_bits = _header(encoded, layouts)
    return Packed(header + bits.to_bytes() + b"".join(encoded.packets), bits_tokens, bits_side + packet_length_bits)


def unpack(data: bytes) -> Encoded:
    """The inverse of `pack`; ValueError says what is wrong with bytes that it did not write."""
    num_samples, layouts, body, packets = _parse(data)
    bits = _BitReader(body)
    durations = [_durations(layout, bits.read) for layout in layouts]
    streams = []
    for layout, values in zip(layouts, durations, strict=True):
        frames = layout.length if values is None else len(values)
        streams.append(_stream(layout, [bits.read(frames, size) for size in layout.codebook_sizes], values))
    if len(bits.bits) - bits.position > 7:
        raise ValueError("the bitstream is longer than its header says")
    return Encoded(tuple(streams), num_samples, packets)


def entropy_pack(encoded: Encoded) -> Packed:
    """The same content through a range coder whose models adapt as they go, from nothing but what was sent before.

    Tokens have one order-0 model a codebook; durations and flags one that also sees the value before. Every model starts uniform
    and counts with a prior of 1/2 (Krichevsky and Trofimov 1981): a short utterance gains little and loses little. Packets are
    already entropy-coded and stay as they are.
    """
    import constriction

    layouts = [_layout(stream) for stream in encoded.streams]
    side, tokens = [], []
    for stream, layout in zip(encoded.streams, layouts, strict=True):
        side.append(_adaptive_bits(_side_symbols(stream, layout), layout.side_alphabet, use_previous=True))
        for row, size in zip(stream.tokens.numpy(), stream.codebook_sizes, strict=True):
            tokens.append(_adaptive_bits(row, size, use_previous=False))
    bits = np.concatenate([np.zeros(0, np.int32), *(coded for coded, _ in side + tokens)])
    probabilities = np.concatenate([np.zeros(0), *(probability for _, probability in side + tokens)])
    coder = constriction.stream.queue.RangeEncoder()
    if len(bits):
        coder.encode(bits, constriction.stream.model.Bernoulli(perfect=False), probabilities)
    words = coder.get_compressed().astype("<u4").tobytes()
    header, packet_length_bits = _header(encoded, layouts)
    packets = b"".join(encoded.packets)
    # what the coder spends on durations is their share of the information: the words hold both
    bits_side = round(sum(float(-np.log2(np.where(coded == 1, p, 1 - p)).sum()) for coded, p in side))
    return Packed(header + words + packets, 8 * (len(words) + len(packets)) - bits_side, bits_side + packet_length_bits)


def entropy_unpack(data: bytes) -> Encoded:
    """The inverse of `entropy_pack`."""
    import constriction

    num_samples, layouts, body, packets = _parse(data)
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(body, "<u4").astype(np.uint32))
    bernoulli = constriction.stream.model.Bernoulli(perfect=False)

    def read_bit(probability: float) -> int:
        return int(coder.decode(bernoulli, np.array([probability]))[0])

    side = [_AdaptiveReader(layout.side_alphabet, True, read_bit) for layout in layouts]
    durations = [_durations(layout, reader.read) for layout, reader in zip(layouts, side, strict=True)]
    streams = []
    for layout, values in zip(layouts, durations, strict=True):
        frames = layout.length if values is None else len(values)
        rows = [_AdaptiveReader(size, False, read_bit).read(frames, size) for size in layout.codebook_sizes]
        streams.append(_stream(layout, rows, values))
    return Encoded(tuple(streams), num_samples, packets)


# --- header -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """What the header says of a stream, from which the body's layout follows."""

    codebook_sizes: tuple[int, ...]
    mode: int
    max_duration: int
    length: int  # token frames; of nested durations the base frames
    constant: int = 0
    present: tuple[int, ...] = ()  # the nested durations that occur, longest first

    @property
    def side_alphabet(self) -> int:
        return 2 if self.mode == _NESTED else self.max_duration


def _layout(stream: Stream) -> _Layout:
    if stream.durations is None:
        return _Layout(stream.codebook_sizes, _FIXED_RATE, stream.max_duration, stream.num_frames)
    durations = stream.durations.tolist()
    if stream.nested:
        present = tuple(sorted(set(durations), reverse=True))
        return _Layout(stream.codebook_sizes, _NESTED, stream.max_duration, sum(durations), present=present)
    if len(set(durations)) == 1:
        return _Layout(stream.codebook_sizes, _CONSTANT, stream.max_duration, stream.num_frames, constant=durations[0])
    return _Layout(stream.codebook_sizes, _LISTED, stream.max_duration, stream.num_frames)


def _header(encoded: Encoded, layouts: Sequence[_Layout]) -> tuple[bytes, int]:
    """The header, and how many of its bits are packet lengths: side information where packets differ in length."""
    numbers = [encoded.num_samples, len(layouts)]
    for layout in layouts:
        numbers += [*_run(layout.codebook_sizes), layout.mode, layout.max_duration, layout.length]
        if layout.mode == _CONSTANT:
            numbers.append(layout.constant)
        if layout.mode == _NESTED:
            numbers.append(sum(layout.present))  # distinct powers of two: their sum is the set
    lengths = list(map(len, encoded.packets))
    packet_lengths = b"".join(map(_varint, _run(lengths)))
    side = 8 * len(packet_lengths) if len(set(lengths)) > 1 else 0
    return MAGIC + b"".join(map(_varint, numbers)) + packet_lengths, side


def _parse(data: bytes) -> tuple[int, list[_Layout], bytes, tuple[bytes, ...]]:
    """Header read; the body, and the packets at the end, cut out."""
    if not data.startswith(MAGIC):
        raise ValueError(f"not a bitstream of this program: it does not begin with {MAGIC!r}")
    reader = _VarintReader(data, len(MAGIC))
    num_samples = reader.read()
    layouts = []
    for _ in range(reader.read()):
        sizes = tuple(reader.read_run())
        mode, max_duration, length = reader.read(), reader.read(), reader.read()
        if mode > _NESTED or 0 in sizes or not max_duration:
            raise ValueError("the header is damaged")
        constant = reader.read() if mode == _CONSTANT else 0
        present_sum = reader.read() if mode == _NESTED else 0
        present = tuple(1 << bit for bit in reversed(range(present_sum.bit_length())) if present_sum >> bit & 1)
        layouts.append(_Layout(sizes, mode, max_duration, length, constant, present))
    lengths = reader.read_run()
    first_packet = len(data) - sum(lengths)
    if first_packet < reader.position:
        raise ValueError("the bitstream is cut short")
    ends = np.cumsum([first_packet, *lengths]).tolist()
    packets = tuple(data[start:end] for start, end in itertools.pairwise(ends))
    return num_samples, layouts, data[reader.position : first_packet], packets


def _stream(layout: _Layout, rows: Sequence[Sequence[int]], durations: list[int] | None) -> Stream:
    frames = layout.length if durations is None else len(durations)
    tokens = torch.tensor(rows, dtype=torch.int64).reshape(len(layout.codebook_sizes), frames)
    values = None if durations is None else torch.tensor(durations, dtype=torch.int64)
    return Stream(tokens, layout.codebook_sizes, values, layout.max_duration, nested=layout.mode == _NESTED)


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
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def read_run(self) -> list[int]:
        count, same = self.read(), self.read()
        if count > 8 * len(self.data):
            raise ValueError("the header is damaged")
        return [self.read()] * count if same and count else [self.read() for _ in range(count)]


# --- durations ----------------------------------------------------------------------------------------------------------------


def _side_symbols(stream: Stream, layout: _Layout) -> list[int]:
    """Durations as symbols below `layout.side_alphabet`: listed ones as d - 1, nested ones as split flags."""
    if stream.durations is None or layout.mode == _CONSTANT:
        return []
    durations = stream.durations.tolist()
    if layout.mode == _LISTED:
        return [duration - 1 for duration in durations]
    starts = np.cumsum(durations) - durations
    at_start = dict(zip(starts.tolist(), durations, strict=True))
    flags: list[int] = []

    def is_split(start: int, size: int) -> int:
        flags.append(int(at_start.get(start) != size))
        return flags[-1]

    if _walk(layout, is_split) != durations:
        raise ValueError("nested durations must be powers of two that start at multiples of themselves")
    return flags


def _durations(layout: _Layout, read: Callable[[int, int], list[int]]) -> list[int] | None:
    """The durations that `_side_symbols` told, from read(count, alphabet); None at a fixed rate."""
    if layout.mode == _FIXED_RATE:
        return None
    if layout.mode == _CONSTANT:
        return [layout.constant] * layout.length
    if layout.mode == _LISTED:
        return [symbol + 1 for symbol in read(layout.length, layout.side_alphabet)]
    return _walk(layout, lambda _start, _size: read(1, layout.side_alphabet)[0])


def _walk(layout: _Layout, is_split: Callable[[int, int], int]) -> list[int]:
    """Nested durations in time order; is_split(start, size) is asked only where a slot may be either whole or split."""
    durations: list[int] = []
    slots = [(start, layout.max_duration) for start in range(0, layout.length, layout.max_duration)][::-1]
    while slots:
        start, size = slots.pop()
        may_be_whole = size in layout.present and start + size <= layout.length
        if start >= layout.length:
            continue
        if may_be_whole and (size == layout.present[-1] or not is_split(start, size)):
            durations.append(size)
        elif size % 2:
            raise ValueError("nested durations must be powers of two that start at multiples of themselves")
        else:
            slots += [(start + size // 2, size // 2), (start, size // 2)]
    return durations


# --- whole bits ---------------------------------------------------------------------------------------------------------------


def _block_bits(count: int, size: int) -> int:
    return int((size**count - 1).bit_length())


class _BitWriter:
    """Symbols of any alphabet, `_BLOCK` at a time as the digits of one number."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.length = 0

    def write(self, symbols: Sequence[int], size: int) -> None:
        for start in range(0, len(symbols), _BLOCK):
            block = symbols[start : start + _BLOCK]
            number = 0
            for symbol in block:
                number = number * size + symbol
            width = _block_bits(len(block), size)
            if width:
                self.blocks.append(f"{number:0{width}b}")
                self.length += width

    def to_bytes(self) -> bytes:
        padding = -self.length % 8
        return int("".join(self.blocks) + "0" * padding or "0", 2).to_bytes((self.length + padding) // 8, "big")


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self.bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self.position = 0

    def read(self, count: int, size: int) -> list[int]:
        symbols: list[int] = []
        for start in range(0, count, _BLOCK):
            length = min(_BLOCK, count - start)
            width = _block_bits(length, size)
            if self.position + width > len(self.bits):
                raise ValueError("the bitstream is cut short")
            number = int(self.bits[self.position : self.position + width] or "0", 2)
            self.position += width
            block = []
            for _ in range(length):
                number, symbol = divmod(number, size)
                block.append(symbol)
            if number:
                raise ValueError("the bitstream is damaged: a number is larger than its alphabet allows")
            symbols += block[::-1]
        return symbols


# --- adaptive bits ------------------------------------------------------------------------------------------------------------
# A symbol is a path through a binary tree over its alphabet. A node's two counts start at 1/2 for each symbol below, so that the
# product along a path is the Krichevsky-Trofimov estimate over the whole alphabet, uniform at the start.


def _depth(size: int) -> int:
    return max(size - 1, 0).bit_length()


def _fresh_counts(size: int, contexts: int) -> np.ndarray:
    """float64 [contexts, 2 ** (depth + 1)], a heap: node 1 is the root, node n has the children 2n and 2n + 1."""
    leaves = 1 << _depth(size)
    counts = np.zeros(2 * leaves)
    counts[leaves : leaves + size] = 0.5
    for node in range(leaves - 1, 0, -1):
        counts[node] = counts[2 * node] + counts[2 * node + 1]
    return np.repeat(counts[None], contexts, axis=0)


def _adaptive_bits(symbols: Sequence[int] | np.ndarray, size: int, use_previous: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bits int32 and, of each, the probability of a 1 before it was seen; bits that can only be one thing are left out."""
    counts = _fresh_counts(size, size + 1 if use_previous else 1)
    return _count_bits(np.asarray(symbols, np.int64), counts, _depth(size), use_previous)


@numba.njit(cache=True)
def _count_bits(symbols, counts, depth, use_previous):  # type: ignore[no-untyped-def]
    bits = np.empty(len(symbols) * depth, np.int32)
    probabilities = np.empty(len(symbols) * depth, np.float64)
    used = 0
    context = len(counts) - 1
    for symbol in symbols:
        node = 1
        for level in range(depth - 1, -1, -1):
            bit = (symbol >> level) & 1
            one, either = counts[context, 2 * node + 1], counts[context, node]
            if 0.0 < one < either:
                bits[used] = bit
                probabilities[used] = one / either
                used += 1
            counts[context, node] += 1.0
            node = 2 * node + bit
        counts[context, node] += 1.0
        if use_previous:
            context = symbol
    return bits[:used], probabilities[:used]


class _AdaptiveReader:
    """Reads what `_adaptive_bits` coded, counting as it did."""

    def __init__(self, size: int, use_previous: bool, read_bit: Callable[[float], int]) -> None:
        self.counts = _fresh_counts(size, size + 1 if use_previous else 1)
        self.depth, self.use_previous, self.read_bit = _depth(size), use_previous, read_bit
        self.context = len(self.counts) - 1

    def read(self, count: int, _size: int) -> list[int]:
        return [self._symbol() for _ in range(count)]

    def _symbol(self) -> int:
        counts, node = self.counts[self.context], 1
        for _ in range(self.depth):
            one, either = counts[2 * node + 1], counts[node]
            bit = self.read_bit(one / either) if 0.0 < one < either else int(one > 0)
            counts[node] += 1.0
            node = 2 * node + bit
        counts[node] += 1.0
        symbol = node - (1 << self.depth)
        if self.use_previous:
            self.context = symbol
        return symbol
