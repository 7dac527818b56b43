"""Engines on this machine: in this process, or in N worker processes that share the cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic

from rpmask.engines.engine import Item, Result, WorkerFactory
from rpmask.errors import RunFailed

LOST_WORKERS_ALLOWED = 3


class InProcess(Generic[Item, Result]):
    """One worker, here. The worker is built at the first item."""

    name = "local"
    workers = 1

    def __init__(self, factory: WorkerFactory[Item, Result]) -> None:
        self._factory = factory
        self._worker: Callable[[Item], Result] | None = None

    def map(self, items: Sequence[Item]) -> Iterator[Result]:
        """Apply the worker to every item, in order."""
        if self._worker is None and items:
            self._worker = self._factory()
        for item in items:
            assert self._worker is not None
            yield self._worker(item)

    def close(self) -> None:
        """Drop the worker and what it holds."""
        self._worker = None


_worker: Callable[[Any], Any] | None = None  # one a process, built by the pool's initializer


def _prepare(factory: WorkerFactory[Any, Any]) -> None:
    global _worker
    _worker = factory()


def _work(item: Any) -> Any:
    assert _worker is not None
    return _worker(item)


class Processes(Generic[Item, Result]):
    """N fresh processes. A process that dies is replaced and its items are given out again."""

    name = "local"

    def __init__(self, factory: WorkerFactory[Item, Result], workers: int) -> None:
        self._factory = factory
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(self._factory,),
        )

    def map(self, items: Sequence[Item]) -> Iterator[Result]:
        """Apply a worker to every item; results come as they finish."""
        left = dict(enumerate(items))
        lost = 0
        while left:
            if self._pool is None:
                self._pool = self._start()
            futures: dict[Future[Result], int] = {
                self._pool.submit(_work, item): index for index, item in left.items()
            }
            try:
                for future in as_completed(futures):
                    result = future.result()
                    del left[futures[future]]
                    yield result
            except BrokenProcessPool as error:
                self.close()
                lost += 1
                if lost > LOST_WORKERS_ALLOWED:
                    raise RunFailed(
                        f"Worker processes died {lost} times in a row.",
                        "They may run out of memory: use fewer --workers or a smaller --batch-size.",
                    ) from error

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
