"""Times ScheDFR against a plain-Python dynamic programme on the same features, and temporal entropy: python -m tests.benchmarks.schedule

The plain programme works as the published code is described to, one NumPy call per segment for the costs and nested Python loops over
(count, end, length), but keeps two rows of sums where that keeps all. At 300 s it needs many minutes: `--seconds 5 30` leaves it out.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from bench.codecs.nn.schedule import num_segments_for, schedfr, temporal_entropy

FRAME_RATE, BASE_FRAME_RATE, MAX_DURATION, WIDTH = 40.0, 80.0, 4, 1024


def plain_schedfr(features: np.ndarray, num_segments: int) -> list[int]:
    num_frames = len(features)
    costs = []
    for start in range(num_frames):
        row = [np.float32(0)]
        for size in range(2, min(MAX_DURATION, num_frames - start) + 1):
            segment = features[start : start + size]
            row.append(np.linalg.norm(segment - segment.mean(axis=0), axis=1).mean() * np.float32(size - 1))
        costs.append(row)
    last = [bytearray(num_frames + 1) for _ in range(num_segments + 1)]
    here = [np.float32(0)] + [np.float32(np.inf)] * num_frames
    for k in range(1, num_segments + 1):
        before, here, chosen = here, [np.float32(np.inf)] * (num_frames + 1), last[k]
        for end in range(k, min(MAX_DURATION * k, num_frames) + 1):
            for size in range(1, min(MAX_DURATION, end) + 1):
                value = before[end - size] + costs[end - size][size - 1]
                if value < here[end]:
                    here[end], chosen[end] = value, size
    durations, end = [], num_frames
    for k in range(num_segments, 0, -1):
        durations.append(last[k][end])
        end -= durations[-1]
    return durations[::-1]


def seconds(call, repeats: int = 1):
    """The best wall time of `repeats` calls, and what the last one returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 30, 300], help="lengths of audio (default: 5 30 300)")
    lengths = parser.parse_args().seconds

    rng = np.random.default_rng(0)
    print(f"ScheDFR, {BASE_FRAME_RATE:g} to {FRAME_RATE:g} Hz, D = {WIDTH}, one process")
    for length in lengths:
        features = np.empty((round(length * BASE_FRAME_RATE), WIDTH), np.float32)
        features[0] = 0
        for frame in range(1, len(features)):  # speech-like: neighbours are alike
            features[frame] = 0.9 * features[frame - 1] + rng.standard_normal(WIDTH, np.float32)
        num_segments = num_segments_for(len(features), FRAME_RATE)
        ours_s, ours = seconds(lambda: schedfr(features, num_segments), repeats=3)  # noqa: B023
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{length:6g} s  ours {1e3 * ours_s:9.1f} ms  (whole process so far {peak_mb:.0f} MB)", end="", flush=True)
        plain_s, plain = seconds(lambda: plain_schedfr(features, num_segments))  # noqa: B023
        print(
            f"  plain Python {plain_s:9.2f} s  ratio {plain_s / ours_s:7.0f}  durations {'equal' if ours.tolist() == plain else 'DIFFER'}"
        )
        if ours.tolist() != plain:
            sys.exit("the two disagree")

    audio = (0.1 * rng.standard_normal(60 * 24000)).astype(np.float32)
    entropy_s, _ = seconds(lambda: temporal_entropy(audio, window=5314, hop=320, bins=65, sigma=1 / 64), repeats=3)
    print(f"temporal entropy of 60 s at 24 kHz: {entropy_s:.2f} s")


if __name__ == "__main__":
    main()
