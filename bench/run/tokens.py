"""How a codec uses its codebooks: usage, perplexity and entropy per token, counted over a corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bench.bitstream import ArrayEncoded, unpack_arrays


class TokenCounts:
    """Histograms of the tokens of each codebook of each stream, and of the durations."""

    def __init__(self) -> None:
        self._codebooks: dict[tuple[int, int], Counter[int]] = {}
        self._sizes: dict[tuple[int, int], int] = {}
        self._durations: Counter[int] = Counter()

    def add(self, encoded: ArrayEncoded) -> None:
        for index, stream in enumerate(encoded.streams):
            for q, row in enumerate(stream.tokens.tolist()):
                self._codebooks.setdefault((index, q), Counter()).update(row)
                self._sizes[index, q] = stream.codebook_sizes[q]
            if stream.durations is not None:
                self._durations.update(stream.durations.tolist())

    def summary(self) -> dict[str, Any]:
        """Of each codebook: its size, the share of entries that occur, perplexity 2 ** H and H in bits a token; durations by count."""
        rows = []
        for (stream, q), counts in sorted(self._codebooks.items()):
            share = np.array(list(counts.values()), dtype=float)
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


def token_statistics(frame: pd.DataFrame, read_file: Callable[[str], bytes | None]) -> dict[str, Any]:
    """Of each codec@point: codebook usage, perplexity and entropy per token of every codebook, over all utterances."""
    statistics = {}
    for (codec, point), rows in frame[frame["stream_file"] != ""].groupby(["codec", "point"], sort=False):
        counts = TokenCounts()
        for name in rows["stream_file"]:
            if (data := read_file(name)) is not None:
                counts.add(unpack_arrays(data))
        statistics[f"{codec}@{point}"] = counts.summary()
    return statistics
