"""Where tasks run: a pool of processes with one thread each on this machine, or actors of a Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Lost:
    """What stands in place of a result when the worker died (out of memory, a crash in a native library)."""

    reason: str


class Engine(Protocol):
    jobs: int

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Lost]]:
        """function(task) of each task, as they finish. `function` and tasks can be pickled; function itself raises nothing."""
        ...

    def close(self) -> None: ...


def default_jobs() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_engine(name: str, jobs: int) -> Engine:
    """`local` or `ray`."""
    return RayEngine(jobs) if name == "ray" else LocalEngine(jobs)


class LocalEngine:
    """`jobs` processes. When one dies, the tasks that were under way run again one at a time, and the one that kills is given up."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Lost]]:
        source = iter(tasks)
        under_way: dict[Future[R], T] = {}
        suspects: list[T] = []
        while True:
            while len(under_way) < 2 * self.jobs and not suspects:
                task = next(source, _END)
                if task is _END:
                    break
                under_way[self._executor().submit(function, task)] = task  # type: ignore[arg-type]
            if suspects and not under_way:
                yield from self._alone(function, suspects.pop())
                continue
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                task = under_way.pop(future)
                try:
                    yield task, future.result()
                except BrokenProcessPool:
                    suspects.append(task)
                    self._forget_pool()

    def _alone(self, function: Callable[[T], R], task: T) -> Iterator[tuple[T, R | Lost]]:
        try:
            yield task, self._executor().submit(function, task).result()
        except BrokenProcessPool:
            self._forget_pool()
            yield task, Lost("the worker process died on it (out of memory, or a crash in a native library)")

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _executor(self) -> ProcessPoolExecutor:
        if self._pool is None:
            os.environ.update(dict.fromkeys(_THREADS, "1"))  # inherited: libraries read it when they load
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn"), initializer=_start_worker)
        return self._pool

    def _forget_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


_END: Any = object()


def _start_worker() -> None:
    _one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business


def _one_thread() -> None:
    """Pinning alone was worth 2.6 times on STOI. TF32 would move tokens between a GPU and a CPU."""
    import torch

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False


class RayEngine:
    """The same tasks as Ray actors, on the cluster that RAY_ADDRESS names or on one started here; a lost actor costs its task."""

    def __init__(self, jobs: int) -> None:
        import ray

        self.jobs = jobs
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            local = {} if address else {"num_cpus": jobs, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, runtime_env={"env_vars": dict.fromkeys(_THREADS, "1")})(_Actor)
        self._actors = [self._actor.remote() for _ in range(jobs)]

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Lost]]:
        source = iter(tasks)
        idle = list(self._actors)
        under_way: dict[Any, tuple[T, Any]] = {}
        while True:
            while idle and (task := next(source, _END)) is not _END:
                actor = idle.pop()
                under_way[actor.call.remote(function, task)] = (task, actor)
            if not under_way:
                return
            (done,), _ = self._ray.wait(list(under_way), num_returns=1)
            task, actor = under_way.pop(done)
            try:
                result = self._ray.get(done)
            except self._ray.exceptions.RayActorError as error:
                result = Lost(f"the Ray actor died on it: {error}".splitlines()[0])
                self._actors.remove(actor)
                actor = self._actor.remote()
                self._actors.append(actor)
            idle.append(actor)
            yield task, result

    def close(self) -> None:
        self._ray.shutdown()


class _Actor:
    def __init__(self) -> None:
        _one_thread()

    def call(self, function: Callable[[T], R], task: T) -> R:
        return function(task)
