"""Mutations of files, and campaigns of them: each file is read, or refused as the user's mistake or as something that is not here."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from bench.errors import Unavailable, UserError

TRIED = 1000
LIMIT_S = 20  # for one file; a mistake takes milliseconds

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


def campaign(name: str, content: bytes, read: Callable[[bytes], object]) -> None:
    """Prints how many were tried, read and refused. Anything else than a refusal in a line or lines fails, and so does a hang."""
    rng, read_well, refused, slowest = random.Random(name), 0, 0, 0.0

    def hangs(*_: object) -> None:
        raise TimeoutError(f"took longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        for number in range(TRIED):
            data = mutated(content, rng)
            start = time.perf_counter()
            signal.alarm(LIMIT_S)
            try:
                read(data)
                read_well += 1
            except (UserError, Unavailable) as error:
                refused += bool(str(error).strip())
            except Exception as error:
                raise AssertionError(f"{name} {number}: {type(error).__name__}: {error}: {data[:2000]!r}") from error
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - start)
    finally:
        signal.signal(signal.SIGALRM, before)
    print(f"\n{name}: tried {TRIED}, survived {read_well + refused} ({read_well} read, {refused} refused), slowest {slowest:.2f} s")
    assert read_well + refused == TRIED
    assert refused > TRIED / 50
