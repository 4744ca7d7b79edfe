"""Where tasks run: in this process, in processes of this machine, or in actors of a Ray cluster (bench/run/cluster.py)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NoReturn, Protocol

from bench.registry import Registry
from bench.run.failure import Interrupted, TimedOut, attempt
from bench.run.process import LOAD, THREADS
from bench.run.tasks import CheckTask, Lane
from bench.suite import MetricSpec

DEFAULT_TIMEOUT_S = 600.0  # of one call into a codec or metric
LOADING_TIMEOUT_S = 3600.0  # a large model from a slow disk
_LONGEST_ALARM_S = 1e9  # that a system's clock takes
_DIED = "the worker process died on it (out of memory, or a crash in a native library)"
_LOOK_S = 0.5  # between two looks at whether a process has died without closing its pipe
_START = "import sys; sys.path[:] = {path!r}; from bench.run.process import serve; serve({descriptor}, {parent})"


@dataclass(frozen=True)
class Lost:
    """What stands in place of a result when the worker died on it (out of memory, a crash in a native library) or was too slow.

    final   another try would only take as long again
    """

    reason: str
    final: bool = False


@dataclass(frozen=True)
class Finished:
    """A task that has come back: its number, its result, and the worker that did it."""

    ticket: int
    result: Any
    worker: int


class Engine(Protocol):
    """Workers in two lanes. A worker has one task at a time; nothing is handed out that no worker is free for.

    accelerated   the lane "device" has workers of its own, beside those of the lane "core"; else the same do both, a cell in one task
    """

    accelerated: bool

    def start(self, metrics: Sequence[MetricSpec], registry: Registry) -> None:
        """Says what suite the tasks are of, before the first of them. Other processes find codecs and metrics by themselves."""
        ...

    def idle(self, lane: Lane, avoid: int | None = None) -> bool:
        """Whether a worker of `lane`, other than `avoid`, could take a task now; where `avoid` is alone, it is begun anew for it."""
        ...

    def submit(self, lane: Lane, task: Any, avoid: int | None = None) -> int:
        """The ticket of a task given to an idle worker."""
        ...

    def wait(self) -> list[Finished]:
        """Tasks that have come back, at least one where any is under way."""
        ...

    def close(self) -> None: ...


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_engine(
    name: str, device: str = "cpu", per_device: int = 1, jobs: int | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Engine:
    """The engine `local` or `ray`, with `per_device` workers on each device; the other arguments are those of `session.Options`."""
    if name == "ray":
        from bench.run.cluster import RayEngine

        return RayEngine(device, per_device, jobs, timeout_s)
    devices = [each for each in _devices(device) for _ in range(per_device)]
    jobs = jobs or max(1, cores() - len(devices))
    return SerialEngine(timeout_s) if jobs == 1 and not devices else LocalEngine(devices, jobs, timeout_s)


def _devices(device: str) -> list[str]:
    if device != "cuda":
        return [] if device == "cpu" else [device]
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


class SerialEngine:
    """Tasks run in this process, one after the other, and what they change in it is put back at the end."""

    accelerated = False

    def __init__(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._metrics: Sequence[MetricSpec] = ()
        self._registry = Registry()
        self._workers: dict[bool, Any] = {}
        self._finished: list[Finished] = []
        self._tickets = 0

    def start(self, metrics: Sequence[MetricSpec], registry: Registry) -> None:
        self.close()
        self._metrics, self._registry = metrics, registry

    def idle(self, lane: Lane, avoid: int | None = None) -> bool:
        return not self._finished

    def submit(self, lane: Lane, task: Any, avoid: int | None = None) -> int:
        self._tickets += 1
        checks = isinstance(task, CheckTask)  # by a second worker, with a module and a model of its own
        if checks not in self._workers:
            from bench.run.worker import Worker

            registry, metrics = (self._registry.fresh(), ()) if checks else (self._registry, self._metrics)
            self._workers[checks] = Worker(registry, "cpu", metrics, self._beat)
        # What codecs and metrics print is not what the run prints.
        with _Alarm(self._timeout_s) as self._alarm, contextlib.redirect_stdout(sys.stderr), _staying():
            result = attempt(self._workers[checks].handle, task)
        if checks:
            self._workers.pop(True).close()
        self._finished.append(Finished(self._tickets, result, int(checks)))
        return self._tickets

    def _beat(self, what: str) -> None:
        self._alarm.begin(LOADING_TIMEOUT_S if what == LOAD else self._timeout_s)

    def wait(self) -> list[Finished]:
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


@contextlib.contextmanager
def _staying() -> Iterator[None]:
    """`os._exit` ends the call alone, where it is of this process; a child that a codec forked ends with it."""
    own, leave = os.getpid(), os._exit

    def end(status: int) -> NoReturn:
        if os.getpid() != own:
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = end
    try:
        yield
    finally:
        os._exit = leave


class _Alarm:
    """Ends a call in this process that takes too long, or that a signal interrupts; only the main thread can be told so."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Alarm:
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGINT: self._interrupt, signal.SIGTERM: self._interrupt, signal.SIGALRM: self._time_out}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if isinstance(error, Interrupted):
            raise KeyboardInterrupt from None

    def begin(self, seconds: float) -> None:
        if self._before:
            self._seconds = seconds
            signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST_ALARM_S))

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    def _time_out(self, _number: int, _frame: FrameType | None) -> None:
        raise TimedOut(too_slow(self._seconds))


def too_slow(seconds: float) -> str:
    return f"did not end within {seconds:g} s (see --timeout)"


@dataclass(eq=False)
class _Process:
    """A worker process, or the place for one that is started with its first task.

    deadline   when what it is at must have ended (time.monotonic), None while it waits
    """

    number: int
    device: str
    lanes: frozenset[Lane]
    process: subprocess.Popen[bytes] | None = None
    connection: Connection | None = None
    ticket: int | None = None
    deadline: float | None = None
    limit_s: float = 0.0


class LocalEngine:
    """Processes with one thread each. They start with a fresh interpreter: nothing of the calling script is run in them."""

    def __init__(self, devices: Sequence[str], jobs: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.accelerated = bool(devices)
        self._timeout_s = timeout_s
        self._metrics: Sequence[MetricSpec] = ()
        both: frozenset[Lane] = frozenset({"core"}) if devices else frozenset({"core", "device"})
        places = [(device, frozenset({"device"})) for device in devices] + [("cpu", both)] * jobs
        self._processes = [_Process(number, device, lanes) for number, (device, lanes) in enumerate(places)]  # type: ignore[arg-type]
        self._tickets = 0

    def start(self, metrics: Sequence[MetricSpec], registry: Registry) -> None:
        if metrics != self._metrics:
            self._metrics = metrics
            for process in self._processes:
                self._stop(process)

    def idle(self, lane: Lane, avoid: int | None = None) -> bool:
        return self._free(lane, avoid) is not None

    def submit(self, lane: Lane, task: Any, avoid: int | None = None) -> int:
        process = self._free(lane, avoid)
        assert process is not None
        if process.number == avoid:
            self._stop(process)
        self._tickets += 1
        process.ticket = self._tickets
        for again in (True, False):
            if process.process is None or process.process.poll() is not None:
                self._start(process)
            assert process.connection is not None
            try:
                process.connection.send(task)
                break
            except OSError:  # it was killed while it was idle; when that happens twice, the look in `wait` reports it
                if again:
                    self._stop(process)
        self._begin(process, LOADING_TIMEOUT_S)
        return self._tickets

    def wait(self) -> list[Finished]:
        finished: list[Finished] = []
        while not finished and (busy := [process for process in self._processes if process.ticket is not None]):
            connections = {process.connection: process for process in busy if process.connection is not None}
            now = time.monotonic()
            look_s = min([_LOOK_S, *(max(process.deadline - now, 0.0) for process in busy if process.deadline is not None)])
            for connection in wait(list(connections), look_s):
                if (done := self._receive(connections[connection])) is not None:  # type: ignore[index]
                    finished.append(done)
            for process in busy:
                if (lost := self._lost(process)) is not None:
                    finished.append(lost)
        return finished

    def close(self) -> None:
        for process in self._processes:
            self._stop(process)

    def _free(self, lane: Lane, avoid: int | None) -> _Process | None:
        able = [each for each in self._processes if lane in each.lanes]
        others = [each for each in able if each.number != avoid] or able  # where there is one alone, it is begun anew
        free = [each for each in others if each.ticket is None]
        return min(free, key=lambda each: each.process is None, default=None)  # one that has started before one that has not

    def _start(self, process: _Process) -> None:
        ours, theirs = socket.socketpair()
        code = _START.format(path=sys.path, descriptor=theirs.fileno(), parent=os.getpid())
        process.process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **dict.fromkeys(THREADS, "1")},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C comes to the parent alone, and the children of a codec end with it
        )
        theirs.close()
        process.connection = Connection(ours.detach())
        process.connection.send((process.device, self._metrics))

    def _receive(self, process: _Process) -> Finished | None:
        assert process.connection is not None
        try:
            message = process.connection.recv()
        except (EOFError, OSError):
            return self._give_up(process, _DIED)
        if isinstance(message, tuple):
            return self._done(process, message[0])
        self._begin(process, LOADING_TIMEOUT_S if message == LOAD else self._timeout_s)
        return None

    def _begin(self, process: _Process, limit_s: float) -> None:
        process.limit_s, process.deadline = limit_s, time.monotonic() + limit_s

    def _lost(self, process: _Process) -> Finished | None:
        if process.ticket is None or process.process is None or process.connection is None:
            return None
        if process.process.poll() is not None and not process.connection.poll():
            return self._give_up(process, _DIED)
        if process.deadline is not None and time.monotonic() > process.deadline:
            return self._give_up(process, too_slow(process.limit_s), final=True)
        return None

    def _give_up(self, process: _Process, reason: str, final: bool = False) -> Finished:
        self._stop(process)
        return self._done(process, Lost(reason, final))

    def _done(self, process: _Process, result: Any) -> Finished:
        assert process.ticket is not None
        finished = Finished(process.ticket, result, process.number)
        process.ticket = process.deadline = None
        return finished

    def _stop(self, process: _Process) -> None:
        if process.connection is not None:
            process.connection.close()
            process.connection = None
        if process.process is not None:
            try:
                os.killpg(process.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                process.process.kill()
            process.process.wait()
            process.process = None
