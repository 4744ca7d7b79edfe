"""A worker process: it waits for tasks on a pipe, and ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from bench.run.failure import attempt

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CALL, LOAD = "call", "load"  # what a worker says before it calls into a codec or metric, or loads one: the time it may take begins again
_NEWS_S = 0.05  # a call may be told to end so much too early
_SIGNAL_WHEN_PARENT_ENDS = 1  # prctl's PR_SET_PDEATHSIG


def serve(file_descriptor: int, parent: int) -> None:
    """Takes (device, metrics) first, then tasks until the pipe closes; sends CALL or LOAD before each call, and the result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with(parent)
    os.dup2(2, 1)  # what codecs and metrics print is not what the run prints
    connection = Connection(file_descriptor)
    try:
        device, metrics = connection.recv()
        beat = Beat(connection.send)
        worker = one_worker(device, metrics, beat)
        while True:
            task = connection.recv()
            beat.begin()
            result = attempt(worker.handle, task)
            connection.send((result,))
    except (EOFError, OSError):  # the parent has ended, or a codec has closed what is not its own
        os._exit(0)  # no clean-up of a codec's may hold the process


class Beat:
    """Says what a worker is about to do, unless it has just said so: calls that cost nothing are not told one by one.

    A task begins with what its models take to load, unsaid.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self.begin()

    def begin(self) -> None:
        self._said, self._at = LOAD, time.monotonic()

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        if what != self._said or now - self._at > _NEWS_S:
            self._send(what)
            self._said, self._at = what, now


def one_worker(device: str, metrics: Any, beat: Any) -> Any:
    """A Worker with one thread: pinning alone was worth 2.6 times on STOI. TF32 would move tokens between a GPU and a CPU."""
    import torch

    from bench.registry import Registry
    from bench.run.worker import Worker

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    return Worker(Registry(), device, metrics, beat)


def _end_with(parent: int) -> None:
    """Also where the parent is killed, and where this process hangs in a native library."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
