"""pack and unpack are inverse for anything, and every bit is where the specification says."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import bitstream
from bench.bitstream import MAX_SAMPLES, Packed, Packer, entropy_pack, entropy_unpack, header_of, layout_of, pack, unpack, unpack_arrays
from bench.codec import Encoded, OperatingPoint, Stream, nominal_bitrate


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
    sizes = tuple(draw(st.lists(st.integers(1, 2**32) | st.sampled_from([1, 2, 1024, 84375]), max_size=4)))
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
        durations = durations[: draw(st.integers(0, len(durations)))]
        frames = len(durations)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tokens = torch.stack([torch.zeros(frames).long(), *(torch.randint(size, (frames,), generator=generator) for size in sizes)])[1:]
    values = None if durations is None else torch.tensor(durations, dtype=torch.int64)
    return Stream(tokens, sizes, values, max_duration, nested=kind == "nested")


encodeds = st.builds(
    Encoded,
    st.lists(streams(), max_size=3).map(tuple),
    st.integers(0, MAX_SAMPLES),
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


@given(encodeds, encodeds)
@settings(deadline=None, max_examples=200)
def test_a_stream_is_itself_under_any_layout(encoded: Encoded, other: Encoded) -> None:
    """The layout of another stream only decides what is counted."""
    packed = pack(encoded, layout_of(other))
    assert same(unpack(packed.data), encoded)
    assert same(entropy_unpack(entropy_pack(encoded, layout_of(other)).data), encoded)


@given(encodeds)
@settings(deadline=None, max_examples=100)
def test_without_torch_the_same_is_read(encoded: Encoded) -> None:
    arrays = unpack_arrays(pack(encoded).data)
    assert same(Encoded(tuple(as_stream(stream) for stream in arrays.streams), arrays.num_samples, arrays.packets), encoded)
    assert [stream.num_frames for stream in arrays.streams] == [stream.num_frames for stream in encoded.streams]


def as_stream(stream) -> Stream:
    durations = None if stream.durations is None else torch.from_numpy(stream.durations)
    return Stream(torch.from_numpy(stream.tokens), stream.codebook_sizes, durations, stream.max_duration, stream.nested)


def test_reading_a_stream_imports_no_torch(tmp_path) -> None:
    durations = torch.tensor([1, 2, 4, 3], dtype=torch.int64)
    (tmp_path / "stream.bin").write_bytes(pack(Encoded((Stream(torch.zeros(1, 4).long(), (8,), durations, 4),), 800)).data)
    code = (
        "import sys; from pathlib import Path; from bench.bitstream import unpack_arrays\n"
        "print(unpack_arrays(Path(sys.argv[1]).read_bytes()).streams[0].durations.tolist(), {'torch', 'numba'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code, str(tmp_path / "stream.bin")], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[1, 2, 4, 3] set()"


@given(encodeds)
@settings(deadline=None, max_examples=100)
def test_a_stream_cut_anywhere_is_refused_with_a_reason(encoded: Encoded) -> None:
    data = pack(encoded).data
    for end in range(0, len(data), max(1, len(data) // 7)):
        with pytest.raises(ValueError):
            unpack(data[:end])


@given(encodeds, st.data())
@settings(deadline=None, max_examples=100)
def test_a_byte_that_changed_is_noticed(encoded: Encoded, data) -> None:
    stream = bytearray(pack(encoded).data)
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        unpack(bytes(stream))


# --- what is counted ----------------------------------------------------------------------------------------------------------


def lengths_bits(num_samples: int, *streams: int) -> int:
    """Whether the header is the codec's own, 5 bits and the rest of `num_samples`, what the streams' lengths cost, and no more packets."""
    return 1 + 5 + max(0, num_samples.bit_length() - 1) + sum(streams) + 1


def even_tokens(frames: int, size: int = 1024) -> Stream:
    return Stream(torch.randint(size, (1, frames), generator=torch.Generator().manual_seed(frames)), (size,))


@pytest.mark.parametrize("size", [2, 1024, 8192, 18225, 84375])
def test_a_token_costs_log2_of_its_codebook(size: int) -> None:
    frames = 3000
    tokens = torch.randint(size, (1, frames), generator=torch.Generator().manual_seed(0))
    packed = pack(Encoded((Stream(tokens, (size,)),), 48000))
    assert 0 <= packed.bits_tokens - frames * math.log2(size) < math.ceil(frames / 1024)
    assert packed.bits_side == lengths_bits(48000, 1)
    assert packed.bits_total - packed.bits_tokens < 8 * 32  # magic, checksum, header


def dynamic(durations: list[int], max_duration: int, nested: bool = False) -> Packed:
    values = torch.tensor(durations, dtype=torch.int64)
    return pack(Encoded((Stream(torch.zeros(1, len(durations), dtype=torch.int64), (2,), values, max_duration, nested),), 16000))


def test_side_information_of_the_papers() -> None:
    # a stream's length: 1 bit for the base frames, which are as expected; log2 of what the token frames may be; 1 for "not even"
    assert dynamic([1, 2, 4, 3] * 25, 4).bits_side == 200 + lengths_bits(16000, 1 + 8 + 1)  # CodecSlime: 2 bits a token
    assert dynamic([1, 8, 5, 2] * 25, 8).bits_side == 300 + lengths_bits(16000, 1 + 9 + 1)  # FlexiCodec: 3 bits a token
    assert dynamic([1] * 100, 4).bits_side == lengths_bits(16000, 1 + 7 + 1)  # the base rate: nothing to tell


@pytest.mark.parametrize("num_frames", [79, 80, 81, 160, 320, 321, 1000])
@pytest.mark.parametrize("share", [0.5, 0.7, 1 / 3])
def test_even_merging_costs_the_same_whatever_the_length(num_frames: int, share: float) -> None:
    """Durations as even as they can be follow from two numbers; the parity of the length doesn't matter."""
    groups = round(share * num_frames)
    durations = np.diff(np.arange(groups + 1) * num_frames // groups).tolist()
    fewest = -(-num_frames // 4)
    assert dynamic(durations, 4).bits_side == lengths_bits(16000, 1 + (num_frames - fewest).bit_length() + 1)


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
    assert dynamic(durations, 4, nested=True).bits_side == flags + lengths_bits(16000, 1 + 3)  # and which durations occur


@given(encodeds)
@settings(deadline=None, max_examples=200)
def test_every_bit_is_counted_or_says_nothing(encoded: Encoded) -> None:
    """What is not counted of a stream is the same for all streams under a layout, follows from the rest, or fills a byte."""
    packed = pack(encoded)
    uncounted = packed.bits_total - packed.bits_tokens - packed.bits_side
    fixed = 8 * (len(b"SCB2") + 4 + len(header_of(packed.data)))
    assert 0 <= uncounted - fixed <= 7


def test_lengths_cost_about_what_they_tell() -> None:
    seconds_of_tokens = tuple(even_tokens(50 * seconds) for seconds in (2, 3, 4, 10))
    own = layout_of(Encoded(seconds_of_tokens[:1], 32000))
    for stream, seconds in zip(seconds_of_tokens, (2, 3, 4, 10), strict=True):
        packed = pack(Encoded((stream,), 16000 * seconds), own)
        assert 19 <= packed.bits_side <= 30
        assert header_of(packed.data) == header_of(pack(Encoded(seconds_of_tokens[:1], 32000)).data)
    longer = pack(Encoded((even_tokens(150 + 37),), 48000), own)
    assert longer.bits_side > pack(Encoded((even_tokens(150),), 48000), own).bits_side + 2 * math.log2(37)


@pytest.mark.parametrize(
    "hiding",
    [
        Encoded((even_tokens(100, 1024 + 77),), 32000),  # in a codebook's size
        Encoded((even_tokens(100), Stream(torch.zeros(1, 0).long(), (2,))), 32000),  # in the number of streams
        Encoded((Stream(even_tokens(100).tokens, (1024,), torch.ones(100).long(), 4),), 32000),  # in the kind of durations
        Encoded((Stream(torch.cat([even_tokens(100).tokens, torch.zeros(1, 100).long()]), (1024, 1)),), 32000),  # in one of one entry
    ],
    ids=["codebook size", "streams", "durations", "free codebook"],
)
def test_what_hides_in_the_header_is_paid_for(hiding: Encoded) -> None:
    honest = Encoded((even_tokens(100),), 32000)
    own = layout_of(honest)
    extra = pack(hiding, own).bits_side - pack(honest, own).bits_side
    assert extra >= 8 * len(header_of(pack(hiding, own).data))


class HidesInTheCodebook:
    """Tells a sample's sign by the size of a codebook, without a token."""

    sample_rate, hop_length, parameters, weights_sha256 = 8000, 80, 0, ""

    def analyse(self, audio):
        return audio

    def encode(self, latent, point):
        sizes = tuple((512 + (latent[: point.n_q] * 100).long().clamp(-50, 50)).tolist())
        return Encoded((Stream(torch.zeros(len(sizes), 0).long(), sizes),), len(latent))

    def decode(self, encoded):
        return torch.zeros(encoded.num_samples)


class Plain(HidesInTheCodebook):
    def encode(self, latent, point):
        return Encoded((Stream(torch.zeros(1, -(-len(latent) // 80)).long(), (512,)),), len(latent))


def test_a_packer_knows_what_a_codec_always_says() -> None:
    noise = torch.rand(12345, generator=torch.Generator().manual_seed(3)) * 2 - 1
    point = OperatingPoint("one", 100.0, 50)
    plain, hiding = Plain(), HidesInTheCodebook()
    assert Packer(plain).pack(plain.encode(noise, point), point).bits_side == lengths_bits(12345, 1)
    packed = Packer(hiding).pack(hiding.encode(noise, point), point)
    assert packed.bits_side > 8 * 50
    assert same(unpack(packed.data), hiding.encode(noise, point))


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


@pytest.mark.parametrize("size", [2, 3, 1000, 1024, 2016, 2**32])
def test_long_rows_are_told_in_the_fewest_bits_and_come_back(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for frames in (31, 32, 33, 1023, 1024, 1025, 2500):
        tokens = torch.randint(size, (2, frames), generator=generator)
        tokens[0], tokens[1, : frames // 2] = size - 1, 0
        encoded = Encoded((Stream(tokens, (size, size)),), 100 * frames)
        packed = pack(encoded)
        assert same(unpack(packed.data), encoded)
        blocks = [min(1024, frames - start) for start in range(0, frames, 1024)]
        assert packed.bits_tokens == 2 * sum((size**count - 1).bit_length() for count in blocks)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(10, 2000), st.booleans())
def test_symbols_counted_one_by_one_or_a_level_at_a_time_are_the_same(symbols: list[int], size: int, use_previous: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.bitstream._FEW_SYMBOLS", len(symbols))
        one_by_one = bitstream._adaptive_bits(symbols, size, use_previous)
        patch.setattr("bench.bitstream._FEW_SYMBOLS", 0)
        by_level = bitstream._adaptive_bits(symbols, size, use_previous)
    for one, other in zip(one_by_one, by_level, strict=True):
        np.testing.assert_array_equal(one, other)


def test_entropy_of_correlated_durations_uses_the_one_before() -> None:
    durations = torch.tensor([1] * 200 + [4] * 200 + [2, 3] * 100, dtype=torch.int64)
    stream = Stream(torch.zeros(1, 600, dtype=torch.int64), (2,), durations, 4)
    assert entropy_pack(Encoded((stream,), 0)).bits_side < 0.2 * pack(Encoded((stream,), 0)).bits_side


def test_packets_count_their_bytes_and_lengths_only_where_they_differ() -> None:
    equal = pack(Encoded((), 320, (b"abcd",) * 10))
    assert (equal.bits_tokens, equal.bits_side) == (320, lengths_bits(320, 1))
    mixed = pack(Encoded((), 320, (b"abcd", b"ab")))
    assert mixed.bits_tokens == 48
    assert mixed.bits_side == lengths_bits(320, 1 + 5 + 2 * 3)


@pytest.mark.parametrize(
    ("encoded", "complaint"),
    [
        (Encoded((), 2**31), "num_samples"),
        (Encoded((Stream(torch.zeros(1, 3).long(), (2**33,)),), 100), "codebook's size"),
        (Encoded((), -1), "num_samples"),
        (Encoded((Stream(torch.zeros(1025, 0).long(), (2,) * 1025),), 100), "codebooks"),
        (Encoded((Stream(torch.zeros(1, 0).long(), (2,)),) * 65, 100), "streams"),
        (Encoded((Stream(torch.zeros(1, 1).long(), (2,), torch.ones(1).long(), 2**17),), 100), "max_duration"),
        (Encoded((Stream(torch.zeros(1, 1).long(), (2,), torch.ones(1).long(), 3, nested=True),), 100), "power of two"),
        (Encoded((Stream(torch.zeros(1, 2**17).long(), (2,)),), 100), "too many"),
        (Encoded((Stream(torch.zeros(1, 2**15).long(), (1,)),), 10**6), "one entry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_stream_can_hold_is_refused_when_it_is_packed(encoded: Encoded, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        pack(encoded)


def test_nominal_bitrate_is_what_the_papers_print() -> None:
    durations = torch.tensor([2] * 40, dtype=torch.int64)
    slime = Encoded((Stream(torch.zeros(1, 40, dtype=torch.int64), (8192,), durations, 4),), 16000)
    assert nominal_bitrate(slime, 1.0) == pytest.approx(600)  # CodecSlime table 1: 0.52 + 0.08 kbps
    flexi = Encoded((Stream(torch.zeros(8, 25, dtype=torch.int64), (32768, *[4096] * 7), torch.tensor([1] * 25), 8),), 48000)
    assert nominal_bitrate(flexi, 3.0) == pytest.approx(102 * 25 / 3)  # FlexiCodec: 15 + 3 + 12 (n_q - 1) bits a frame
