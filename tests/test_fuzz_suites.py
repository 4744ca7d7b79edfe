"""Mutated suites and manifests: each is read, or refused as the user's mistake or as something that is not here."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.datasets.specs import open_dataset, parse_spec
from bench.errors import Unavailable, UserError
from bench.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent
TRIED = 1000
LIMIT_S = 20  # for one file; a mistake takes milliseconds

SUITE = """\
name: fuzzed
description: of a suite
datasets: [bundled, {manifest: manifest.jsonl, languages: en, limit: 2}, {folder: ., language: en}]
codecs:
  - {codec: opus, points: [6kbps, 24kbps]}
  - {codec: codecslime, name: other, checkpoint: tiny, sweep: {frame_rate: {from: 40, to: 80, step: 20}}}
metrics: [stoi, {metric: wer_pocketsphinx, options: {normaliser: lower}}]
compare: {baseline: opus@6kbps}
regress: {margins: {stoi: 0.1, bitrate: 2%}, alpha: 0.05}
seed: 3
"""
MANIFEST = "".join(
    f'{{"id": "{number}", "path": "a.wav", "text": "one – two", "speaker": "s{number}", "language": "en_US", "duration_s": 1.0}}\n'
    for number in range(4)
)
PIECES = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3",
    b"&a ", b"*a", b"<<: ", b"[" * 40, b"{" * 40, b"]", b"}", b": ", b"- ", b"? ", b"!!float ",
    b".inf",
    b".nan", b"-1", b"1e999", b"9" * 400, b"null", b"NaN", b"Infinity", b"true", b"no", b'"', b"'", b"\\ud800", b"\\u0000", b"\r",
    b"\xe2\x80\xa8",
    b"\xc2\x85", b"..\\..\\", b"/dev/null", b"x" * 300, b"2026-99-99", b"%", b"@", b"`", b"|\n", b"\t", b"#", b"---\n", b"~",
]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([0, 1, 3, 10, 60]))
        what = rng.randrange(4)
        if what == 0:
            data[start:end] = rng.choice(PIECES)
        elif what == 1:
            del data[start:end]
        elif what == 2:
            data[start:start] = data[start:end] * rng.choice([1, 2, 20])
        elif end > start:
            data[rng.randrange(start, end)] = rng.randrange(256)
    return bytes(data)


def campaign(name: str, content: str, read: Callable[[bytes], object]) -> None:
    """Prints how many were tried, read and refused. Anything else than a refusal in a line or lines fails, and so does a hang."""
    rng, read_well, refused, slowest = random.Random(name), 0, 0, 0.0

    def hangs(*_: object) -> None:
        raise TimeoutError(f"took longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        for number in range(TRIED):
            data = mutated(content.encode(), rng)
            start = time.perf_counter()
            signal.alarm(LIMIT_S)
            try:
                read(data)
                read_well += 1
            except (UserError, Unavailable) as error:
                refused += bool(str(error).strip())
            except Exception as error:
                raise AssertionError(f"{name} {number}: {type(error).__name__}: {error}: {data!r}") from error
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - start)
    finally:
        signal.signal(signal.SIGALRM, before)
    print(f"\n{name}: tried {TRIED}, survived {read_well + refused} ({read_well} read, {refused} refused), slowest {slowest:.2f} s")
    assert read_well + refused == TRIED
    assert refused > TRIED / 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) / 20).astype(np.float32), 16000)
    (tmp_path / "manifest.jsonl").write_text(MANIFEST, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_mutated_suites_are_read_or_refused(folder: Path) -> None:
    path = folder / "suite.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_suite(path)

    campaign("suites", SUITE, read)


@pytest.mark.slow
def test_mutated_manifests_are_read_or_refused(folder: Path) -> None:
    def read(data: bytes) -> None:
        (folder / "manifest.jsonl").write_bytes(data)
        open_dataset(parse_spec({"manifest": "manifest.jsonl"}), folder, 0)

    campaign("manifests", MANIFEST, read)
