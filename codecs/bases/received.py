"""What a decoder checks of what it received before it works on it: a stream may be damaged, or another codec's."""

from __future__ import annotations

from collections.abc import Sequence

from bench.codec import Encoded, Stream


def only_stream(encoded: Encoded, codebook_sizes: Sequence[int], max_duration: int = 1, nested: bool = False) -> Stream:
    """The stream of a codec that sends one; ValueError where there is another number of them, or it is of another kind.

    codebook_sizes   of all codebooks: the stream has the first of them, at least one
    max_duration     of a stream with durations; 1 where there are none; a stream without is taken unless they are `nested`
    """
    if len(encoded.streams) != 1 or encoded.packets:
        raise ValueError(f"the stream is not this codec's: {len(encoded.streams)} streams and {len(encoded.packets)} packets, not 1 and 0")
    stream = encoded.streams[0]
    check_codebooks(stream, codebook_sizes)
    of_this_kind = max_duration > 1 and (stream.max_duration, stream.nested) == (max_duration, nested)
    if not (of_this_kind if stream.durations is not None else not nested):
        raise ValueError("the stream is not this codec's: it has durations of another kind")
    return stream


def check_codebooks(stream: Stream, codebook_sizes: Sequence[int]) -> None:
    """ValueError unless the codebooks of `stream` are the first of those, one at least."""
    number = len(stream.codebook_sizes)
    if not number or stream.codebook_sizes != tuple(codebook_sizes[:number]):
        found, own = _shown(stream.codebook_sizes), _shown(codebook_sizes)
        raise ValueError(f"the stream is not this codec's: its codebooks have {found} entries, not {own}")


def check_length(frames: int, num_samples: int, hop_length: float, fewer: int = 0, more: int = 0) -> None:
    """ValueError unless `frames` are what `num_samples` make: one each `hop_length`, and one for the rest; or so many fewer, or more."""
    expected = -(-num_samples // hop_length)
    if num_samples < 1 or not expected - fewer <= frames <= expected + more:
        raise ValueError(f"{frames} base frames do not fit {num_samples} samples")


def _shown(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "") or "no"
