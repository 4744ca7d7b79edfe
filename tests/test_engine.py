"""Tasks run in processes; one that dies costs its task, and only that."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from pathlib import Path

import pytest

from bench.run.engine import Engine, Lost, open_engine


def task(number: int) -> int:
    """Stands in for a codec whose native library crashes on some input."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def threads(_number: int) -> tuple[int, str]:
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def pid(_number: int) -> int:
    time.sleep(0.2)  # long enough that the other worker takes the next one
    return os.getpid()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest):
    if request.param == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray: pip install 'speech-codec-bench[ray]'")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    opened = open_engine(request.param, 2)
    yield opened
    opened.close()


def test_a_worker_that_dies_costs_only_its_task(engine: Engine) -> None:
    results = dict(engine.map(task, range(8)))
    lost = {number for number, result in results.items() if isinstance(result, Lost)}
    assert lost == {3}
    assert {number: result for number, result in results.items() if number != 3} == {n: n * n for n in range(8) if n != 3}
    assert dict(engine.map(task, [1, 2])) == {1: 1, 2: 4}  # and the engine goes on


def test_each_worker_has_one_thread_and_all_are_used(engine: Engine) -> None:
    assert {result for _, result in engine.map(threads, range(8))} == {(1, "1")}
    assert len({result for _, result in engine.map(pid, range(20))}) == 2
