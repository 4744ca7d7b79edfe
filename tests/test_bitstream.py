"""pack and unpack are inverse for anything, and every bit is where the specification says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bitstream import Packed, entropy_pack, entropy_unpack, pack, unpack
from bench.codec import Encoded, Stream, nominal_bitrate


def same(a: Encoded, b: Encoded) -> bool:
    def facts(encoded: Encoded):
        streams = [
            (s.tokens.tolist(), s.codebook_sizes, None if s.durations is None else s.durations.tolist(), s.max_duration, s.nested)
            for s in encoded.streams
        ]
        return streams, encoded.num_samples, encoded.packets

    return facts(a) == facts(b)


def split(size: int, draw) -> list[int]:
    return [size] if size == 1 or draw(st.booleans()) else split(size // 2, draw) + split(size // 2, draw)


@st.composite
def streams(draw) -> Stream:
    sizes = tuple(draw(st.lists(st.integers(2, 84375), min_size=1, max_size=4)))
    kind = draw(st.sampled_from(["fixed", "listed", "constant", "nested"]))
    frames = draw(st.integers(0, 40))
    max_duration = draw(st.integers(1, 64))
    durations = None
    if kind == "listed":
        durations = draw(st.lists(st.integers(1, max_duration), min_size=frames, max_size=frames))
    elif kind == "constant":
        durations = [draw(st.integers(1, max_duration))] * frames
    elif kind == "nested":
        max_duration = 1 << draw(st.integers(0, 6))
        durations = [d for _ in range(draw(st.integers(0, 4))) for d in split(max_duration, draw)]
        frames = len(durations)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tokens = torch.stack([torch.randint(size, (frames,), generator=generator) for size in sizes])
    values = None if durations is None else torch.tensor(durations, dtype=torch.int64)
    return Stream(tokens, sizes, values, max_duration, nested=kind == "nested")


encodeds = st.builds(
    Encoded,
    st.lists(streams(), max_size=3).map(tuple),
    st.integers(0, 10_000_000),
    st.lists(st.binary(max_size=20), max_size=5).map(tuple),
)


@given(encodeds)
@settings(deadline=None, max_examples=300)
def test_unpack_inverts_pack(encoded: Encoded) -> None:
    packed = pack(encoded)
    assert same(unpack(packed.data), encoded)
    assert packed.bits_tokens + packed.bits_side <= packed.bits_total


@given(encodeds)
@settings(deadline=None, max_examples=100)
def test_entropy_unpack_inverts_entropy_pack(encoded: Encoded) -> None:
    assert same(entropy_unpack(entropy_pack(encoded).data), encoded)


@given(encodeds)
@settings(deadline=None, max_examples=100)
def test_a_stream_cut_anywhere_is_refused_with_a_reason(encoded: Encoded) -> None:
    data = pack(encoded).data
    for end in range(0, len(data) - 1, max(1, len(data) // 7)):
        try:
            unpack(data[:end])
        except ValueError:
            continue
        assert not any(s.num_frames for s in encoded.streams) or end >= len(data) - 1, "a shorter stream was taken for whole"


@pytest.mark.parametrize("size", [2, 1024, 8192, 18225, 84375])
def test_a_token_costs_log2_of_its_codebook(size: int) -> None:
    frames = 3000
    tokens = torch.randint(size, (1, frames), generator=torch.Generator().manual_seed(0))
    packed = pack(Encoded((Stream(tokens, (size,)),), 48000))
    assert 0 <= packed.bits_tokens - frames * math.log2(size) < math.ceil(frames / 1024)
    assert packed.bits_side == 0
    assert packed.bits_total - packed.bits_tokens < 8 * 24  # the header


def dynamic(durations: list[int], max_duration: int, nested: bool = False) -> Packed:
    values = torch.tensor(durations, dtype=torch.int64)
    return pack(Encoded((Stream(torch.zeros(1, len(durations), dtype=torch.int64), (2,), values, max_duration, nested),), 16000))


def test_side_information_of_the_papers() -> None:
    assert dynamic([1, 2, 4, 3] * 25, 4).bits_side == 200  # CodecSlime: 2 bits a token
    assert dynamic([1, 8, 5, 2] * 25, 8).bits_side == 300  # FlexiCodec: 3 bits a token
    assert dynamic([1] * 100, 4).bits_side == 0  # the base rate: nothing to tell


@pytest.mark.parametrize(
    ("durations", "flags"),
    [
        ([1] * 300, 0),  # pure rates: systems/tfc.md section 9
        ([2] * 150, 0),
        ([4] * 75, 0),
        ([2, 1, 1] * 75, 150),  # (.5, .5, 0): one flag for each of 150 medium slots
        ([4, 1, 1, 1, 1] * 30, 60),  # (r_f, 0, r_c): one flag a coarse slot, none for medium
        ([4, 2, 1, 1] * 30, 60 + 2 * 30),  # a flag a coarse slot, and one for each medium slot of those that are split
    ],
)
def test_tfc_masks_are_conditional_flags(durations: list[int], flags: int) -> None:
    assert dynamic(durations, 4, nested=True).bits_side == flags


def test_durations_off_their_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of themselves"):
        dynamic([1, 2, 1], 4, nested=True)


def test_entropy_coding_pays_where_there_is_something_to_learn() -> None:
    skewed = torch.zeros(1, 2000, dtype=torch.int64)
    skewed[0, ::50] = 7
    encoded = Encoded((Stream(skewed, (1024,)),), 0)
    entropy = 2000 * -(0.02 * math.log2(0.02) + 0.98 * math.log2(0.98))
    coded = entropy_pack(encoded)
    assert entropy < coded.bits_tokens < entropy + 1024 / 2 * 8 / math.log(2)
    assert coded.bits_tokens < pack(encoded).bits_tokens / 8
    uniform = Encoded((Stream(torch.randint(1024, (1, 2000), generator=torch.Generator().manual_seed(1)), (1024,)),), 0)
    assert entropy_pack(uniform).bits_tokens < 1.05 * pack(uniform).bits_tokens


def test_entropy_of_correlated_durations_uses_the_one_before() -> None:
    durations = torch.tensor([1] * 200 + [4] * 200 + [2, 3] * 100, dtype=torch.int64)
    stream = Stream(torch.zeros(1, 600, dtype=torch.int64), (2,), durations, 4)
    assert entropy_pack(Encoded((stream,), 0)).bits_side < 0.2 * pack(Encoded((stream,), 0)).bits_side


def test_packets_count_their_bytes_and_lengths_only_where_they_differ() -> None:
    equal = pack(Encoded((), 320, (b"abcd",) * 10))
    assert (equal.bits_tokens, equal.bits_side) == (320, 0)
    mixed = pack(Encoded((), 320, (b"abcd", b"ab")))
    assert mixed.bits_tokens == 48
    assert mixed.bits_side > 0


def test_nominal_bitrate_is_what_the_papers_print() -> None:
    durations = torch.tensor([2] * 40, dtype=torch.int64)
    slime = Encoded((Stream(torch.zeros(1, 40, dtype=torch.int64), (8192,), durations, 4),), 16000)
    assert nominal_bitrate(slime, 1.0) == pytest.approx(600)  # CodecSlime table 1: 0.52 + 0.08 kbps
    flexi = Encoded((Stream(torch.zeros(8, 25, dtype=torch.int64), (32768, *[4096] * 7), torch.tensor([1] * 25), 8),), 48000)
    assert nominal_bitrate(flexi, 3.0) == pytest.approx(102 * 25 / 3)  # FlexiCodec: 15 + 3 + 12 (n_q - 1) bits a frame
