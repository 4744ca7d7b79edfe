"""A run that is killed again and again, parent or worker, at any moment, ends with the records of one that was left alone."""

from __future__ import annotations

import contextlib
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
from tests.test_engine import ROOT, workers_of
from tests.toys import comparable

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]
KILLS = 20


def test_twenty_kills_change_no_record(tmp_path) -> None:
    suite = test_engine.suite_of(tmp_path, "fine", "meddles")
    suite.write_text(suite.read_text(encoding="utf-8").replace(", limit: 2", ""), encoding="utf-8")
    undisturbed = run_to_its_end(tmp_path, "undisturbed/run")
    moments = random.Random(7)
    kinds: list[str] = []
    seen: set[int] = set()
    while len(kinds) < KILLS:
        process = start(tmp_path, "killed/run")
        time.sleep(moments.uniform(2, 12))
        seen |= set(workers_of(process.pid))
        kind = moments.choice(["group", "parent", "worker"])
        kinds.append(kind)
        with contextlib.suppress(ProcessLookupError):
            if kind == "worker":
                for pid in workers_of(process.pid)[:1]:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(moments.uniform(1, 6))
                process.kill()
            elif kind == "parent":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert {"group", "parent", "worker"} <= set(kinds)
    ended = run_to_its_end(tmp_path, "killed/run")
    pd.testing.assert_frame_equal(comparable(ended), comparable(undisturbed))
    time.sleep(2)
    assert not [pid for pid in seen if Path(f"/proc/{pid}").exists()]


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "run", "suite.yaml", "--jobs", "2", "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def run_to_its_end(folder: Path, out: str) -> pd.DataFrame:
    process = start(folder, out)
    assert process.wait() == 0
    return pd.read_parquet(folder / out / "records.parquet")
