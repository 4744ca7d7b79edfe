"""A run that is killed again and again, parent or worker, at any moment, ends with the records of one that was left alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests import test_engine
from tests.test_engine import ROOT
from tests.toys import comparable

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]
KILLS = 20
ENGINES = {"local": 0.0, "ray": 8.0}  # seconds that a cluster takes to be there
NEEDS_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'speech-codec-bench[ray]'")


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=NEEDS_RAY)])
def test_twenty_kills_change_no_record(engine, tmp_path) -> None:
    suite = test_engine.suite_of(tmp_path, "fine", "meddles")
    suite.write_text(suite.read_text(encoding="utf-8").replace(", limit: 2", ""), encoding="utf-8")
    undisturbed = run_to_its_end(tmp_path, "undisturbed/run", "local")
    moments = random.Random(7)
    kinds: list[str] = []
    seen: set[int] = set()
    while len(kinds) < KILLS:
        process = start(tmp_path, "killed/run", engine)
        time.sleep(ENGINES[engine] + moments.uniform(2, 12))
        started = descendants(process.pid)
        seen |= set(started)
        kind = moments.choice(["group", "parent", "worker"])
        kinds.append(kind)
        with contextlib.suppress(ProcessLookupError):
            if kind == "worker":
                for pid in [pid for pid in started if is_worker(pid)][:1]:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(moments.uniform(1, 6))
                seen |= set(descendants(process.pid))
                process.kill()
            elif kind == "parent":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert {"group", "parent", "worker"} <= set(kinds)
    ended = run_to_its_end(tmp_path, "killed/run", engine)
    pd.testing.assert_frame_equal(comparable(ended), comparable(undisturbed))
    end = time.monotonic() + 2 + 8 * ENGINES[engine]  # Ray's own processes, which are not ours to end, take their time on a busy machine
    while (left := [pid for pid in seen if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def start(folder: Path, out: str, engine: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "run", "suite.yaml", "--jobs", "2", "--engine", engine, "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def run_to_its_end(folder: Path, out: str, engine: str) -> pd.DataFrame:
    process = start(folder, out, engine)
    assert process.wait() == 0
    return pd.read_parquet(folder / out / "records.parquet")


def descendants(pid: int) -> list[int]:
    """Processes that `pid` has started, and theirs."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found[1:]


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"bench.run.process" in command or command.startswith(b"ray::_Actor")
    return False
