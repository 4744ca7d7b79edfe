"""What the store costs: `python -m tests.benchmarks.store [--records 5000000] [--runs 300]`.

Prints, in one run: the CPU of a record that is added, and that of the last tenth over that of the first; the time and the resident
memory in which all are opened again; the CPU and the memory of a first look at the runs beside one. With five million records it
takes a quarter of an hour and 12 GB of disk.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.record import Column, Record, Score
from bench.run.store import Store

METRICS = [Column(name, f"{name}#1") for name in ("mel", "stft", "stoi", "estoi", "pesq_nb", "pesq_wb", "si_sdr", "dnsmos", "utmos")]
WER = Column("wer", "wer#2:0a1b2c3d")
COLUMNS = [*METRICS, WER]
POINTS = 40  # of an utterance
DEFAULT_SUITE = 330  # records
WORDS = [f"{syllable}{end}" for syllable in ("ba", "do", "fi", "lu", "ne", "pra") for end in ("", "n", "ss", "tter", "wing")]


@lru_cache(1)
def text_of(utterance: int) -> str:
    return " ".join(random.Random(utterance).choices(WORDS, k=18))


def record(number: int, rng: random.Random) -> Record:
    """As real runs have them: 25 facts, ten scores, and what a recogniser heard."""
    utterance, point = divmod(number, POINTS)
    key = hashlib.md5(str(number).encode()).hexdigest()[:24]
    text = text_of(utterance)
    labels = (f"codec_{point // 8}", f"{point % 8 + 1}kbps", "librispeech-test-clean", f"{utterance // 100:04d}-{utterance:08d}")
    place = "/".join(labels)
    frames = rng.randrange(100, 1000)
    return Record(
        key=key,
        codec=labels[0],
        module=labels[0],
        checkpoint="",
        kind="fixed",
        point=labels[1],
        dataset=labels[2],
        language="en",
        utterance=labels[3],
        speaker=f"{utterance // 100:04d}",
        text=text,
        duration_s=frames / 50,
        sample_rate=16000,
        hop_length=320,
        token_frames=frames,
        frame_rate=50.0,
        token_rate=400.0,
        bits_tokens=80 * frames,
        bits_total=80 * frames + 96,
        bits_entropy=78 * frames,
        bitrate=4000.0,
        nominal_bitrate=4000.0,
        encode_s=rng.random(),
        decode_s=rng.random(),
        peak_memory_mb=512.0,
        audio_file=f"audio/{place}-{key[:12]}-{key[:8]}.flac",
        stream_file=f"streams/{place}-{key[:12]}-{key[:8]}.bin",
        scores={
            **{column.key: Score(rng.random()) for column in METRICS},
            WER.key: Score(5.5, {"errors": 1.0, "words": 18.0, "hypothesis": text[:-1] + rng.choice(WORDS)}),
        },
    )


def resident_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, so that its peak of memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def fill(folder: Path, count: int) -> list[float]:
    """CPU seconds of each tenth of `count` records that are added one by one."""
    store, rng = Store(folder), random.Random(1)
    gc.freeze()
    tenths = []
    for tenth in range(10):
        spent = 0.0
        numbers = range(tenth * count // 10, (tenth + 1) * count // 10)
        for start in range(numbers.start, numbers.stop, 1000):
            records = [record(number, rng) for number in range(start, min(start + 1000, numbers.stop))]
            started = time.process_time()
            for each in records:
                store.add(each)
            spent += time.process_time() - started
        tenths.append(spent)
    started = time.process_time()
    store.close()
    tenths[-1] += time.process_time() - started
    return tenths


def open_again(folder: Path, count: int) -> tuple[float, float, float, float, float]:
    """Seconds and CPU seconds until a store is open, its resident MB, the MB before it was opened, and the microseconds of a look-up."""
    before = resident_mb()
    started, cpu = time.perf_counter(), time.process_time()
    store = Store(folder)
    opened, opened_cpu = time.perf_counter() - started, time.process_time() - cpu
    resident = resident_mb()
    rng = random.Random(2)
    keys = [record(rng.randrange(count), rng).key for _ in range(2000)]
    started = time.process_time()
    found = [store.get(key) for key in keys]
    looked_up = time.process_time() - started
    assert all(found)
    return opened, opened_cpu, resident, before, 1e6 * looked_up / len(keys)


def make_runs(folder: Path, runs: int) -> None:
    rng = random.Random(3)
    for run in range(runs):
        store = Store(folder / f"run{run:03d}" / "of")
        for number in range(DEFAULT_SUITE):
            store.add(record(run * DEFAULT_SUITE + number, rng))
        store.close()
        (folder / f"run{run:03d}" / "of").rename(folder / f"{run:03d}")  # made out of sight of the others
        (folder / f"run{run:03d}").rmdir()


def look_around(folder: Path, runs: int) -> tuple[float, float, float]:
    """CPU seconds until a new run knows what all others have and has taken over the records of one; MB for it; CPU seconds in all."""
    before = resident_mb()
    store = Store(folder / "new")
    started = time.process_time()
    assert store.get("unknown") is None
    looked = time.process_time() - started
    rng = random.Random(4)
    keys = [record(number, rng).key for number in range((runs - 1) * DEFAULT_SUITE, runs * DEFAULT_SUITE)]
    resumed = time.process_time()
    assert all(store.get(key) for key in keys)
    return looked, resident_mb() - before, looked + time.process_time() - resumed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(make_runs, folder / "runs", asked.runs)
        looked, memory_mb, taken_over = alone(look_around, folder / "runs", asked.runs)
        print(f"{asked.runs} runs beside this one: {looked:.3f} CPU-s (limit 0.5), {memory_mb:.0f} MB (limit 100)")
        print(f"  and all {DEFAULT_SUITE} records of one of them taken over: {taken_over:.3f} CPU-s", flush=True)
        tenths = alone(fill, folder / "one" / "run", asked.records)
        print(f"a record added: {1e6 * sum(tenths) / asked.records:.0f} CPU-us; last tenth / first tenth: {tenths[-1] / tenths[0]:.2f}")
        opened, opened_cpu, resident, before, looked_up = alone(open_again, folder / "one" / "run", asked.records)
        print(f"{asked.records:,} records opened in {opened:.1f} s (limit 30), {opened_cpu:.1f} CPU-s")
        print(f"  resident {resident / 1e3:.2f} GB (limit 4), of which {before / 1e3:.2f} GB before; {looked_up:.0f} CPU-us a look-up")


if __name__ == "__main__":
    main()
