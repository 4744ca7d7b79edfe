"""How a codec uses its codebooks: usage, perplexity and entropy per token, counted over a corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.bitstream import ArrayEncoded, ArrayStream, unpack_arrays
from bench.codec import Encoded, Stream
from bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class TokenCounts:
    """Histograms of the tokens of each codebook of each stream, and of the durations; of `utterances` streams."""

    def __init__(self) -> None:
        self.utterances = 0
        self._codebooks: dict[tuple[int, int], Counter[int]] = {}
        self._sizes: dict[tuple[int, int], int] = {}
        self._durations: Counter[int] = Counter()

    def add(self, encoded: ArrayEncoded | Encoded) -> None:
        self.utterances += 1
        streams: Sequence[ArrayStream | Stream] = encoded.streams
        for index, stream in enumerate(streams):
            for q, row in enumerate(stream.tokens.tolist()):
                self._codebooks.setdefault((index, q), Counter()).update(row)
                self._sizes[index, q] = stream.codebook_sizes[q]
            if stream.durations is not None:
                self._durations.update(stream.durations.tolist())

    def update(self, more: TokenCounts) -> None:
        self.utterances += more.utterances
        for codebook, counts in more._codebooks.items():
            self._codebooks.setdefault(codebook, Counter()).update(counts)
        self._sizes |= more._sizes
        self._durations.update(more._durations)

    def summary(self) -> dict[str, Any]:
        """Of each codebook: its size, the share of entries that occur, perplexity 2 ** H and H in bits a token; durations by count."""
        rows = []
        for (stream, q), counts in sorted(self._codebooks.items()):
            share = np.array([counts[token] for token in sorted(counts)], dtype=float)
            total = share.sum()
            if not total:
                continue
            share /= total
            entropy = float(-(share * np.log2(share)).sum())
            size = self._sizes[stream, q]
            rows.append(
                {
                    "stream": stream,
                    "codebook": q,
                    "size": size,
                    "tokens": int(total),
                    "usage": len(counts) / size,
                    "perplexity": 2.0**entropy,
                    "entropy_bits": entropy,
                }
            )
        return {"codebooks": rows, "durations": {str(d): n for d, n in sorted(self._durations.items())}}


def token_statistics(
    frame: pd.DataFrame, read_file: Callable[[str], bytes | None], counted: Mapping[tuple[str, str], TokenCounts]
) -> dict[str, Any]:
    """Of each codec@point: codebook usage, perplexity and entropy per token of every codebook, over all utterances.

    counted   of (codec, point), what was counted while its streams were made: they are read only where some are older
    """
    statistics = {}
    for (codec, point), rows in frame[frame["stream_file"] != ""].groupby(["codec", "point"], sort=False):
        counts = counted.get((codec, point))
        if counts is None or counts.utterances < len(rows):
            counts = TokenCounts()
            for name in rows["stream_file"]:
                if (data := read_file(name)) is not None:
                    try:
                        counts.add(unpack_arrays(data))
                    except ValueError as error:
                        raise UserError(f"{name} in the run's folder: {error}; delete it, and tokens are counted without it") from None
        statistics[f"{codec}@{point}"] = counts.summary()
    return statistics
