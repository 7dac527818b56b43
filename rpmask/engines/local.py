"""Engines for this machine: in this process, or in N worker processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from multiprocessing.queues import SimpleQueue
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic

from rpmask.engines.engine import Attempt, Item, Queue, Result, WorkerFactory

# On Linux, workers are forked from a process that has only done the imports: it has no thread and no device.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"


class InProcess(Generic[Item, Result]):
    """One worker in this process, built for the first item."""

    name = "local"
    workers = 1

    def __init__(self, factory: WorkerFactory[Item, Result]) -> None:
        self._factory = factory
        self._worker: Callable[[Item], Result] | None = None

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Apply the worker to every item, in order."""
        for item in items:
            if self._worker is None:
                self._worker = self._factory()
            yield self._worker(item)

    def close(self) -> None:
        """Drop the worker and what it holds."""
        self._worker = None


def warm_up(modules: Sequence[str]) -> None:
    """Import in the background what workers need; workers that start later are forked with it."""
    if _METHOD == "forkserver":
        context = multiprocessing.get_context(_METHOD)
        context.set_forkserver_preload(["__main__", *modules])
        forkserver.ensure_running()


_factory: bytes = b""
_worker: Callable[[Any], Any] | None = None  # one per process, built for its first item


def _prepare(factory: bytes, environments: SimpleQueue[Mapping[str, str]]) -> None:
    global _factory
    _factory = factory
    os.environ.update(environments.get())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent is killed; this process would wait for items forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(item: Any) -> Any:
    global _factory, _worker
    if _worker is None:  # here and not in _prepare, whose errors would be lost
        build: WorkerFactory[Any, Any] = ForkingPickler.loads(_factory)
        _factory, _worker = b"", build()
    return _worker(item)


class Processes(Generic[Item, Result]):
    """N worker processes. When one dies, all are replaced and their items are retried.

    `environments` holds the environment variables of each process, such as the device it may see.
    """

    name = "local"

    def __init__(
        self,
        factory: WorkerFactory[Item, Result],
        workers: int,
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self._factory = factory
        self.workers = workers
        self._environments = environments or [{}] * workers
        self._pool: ProcessPoolExecutor | None = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context(_METHOD)
            # As bytes, which a process reads before it imports anything: the next process starts once
            # they are read, and so does not wait for those imports.
            factory = bytes(ForkingPickler.dumps(self._factory))
            environments: SimpleQueue[Mapping[str, str]] = context.SimpleQueue()
            for environment in self._environments:
                environments.put(environment)
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=_prepare,
                initargs=(factory, environments),
            )
        return self._pool

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Apply a worker to every item; results come as they finish."""
        queue = Queue(items)
        busy: dict[Future[Result], Attempt[Item]] = {}
        while self._give_out(queue, busy):
            done, _ = wait(busy, return_when=FIRST_COMPLETED)
            future = done.pop()
            try:
                result = future.result()
            except BrokenProcessPool:
                self._restart(queue, busy)
                continue
            del busy[future]
            self._give_out(queue, busy)  # the worker continues while the caller stores the result
            yield result

    def _give_out(self, queue: Queue[Item], busy: dict[Future[Result], Attempt[Item]]) -> bool:
        """Give every free worker an item, and return whether any worker is busy."""
        while len(busy) < self.workers and (attempt := queue.next()) is not None:
            try:
                busy[self._started().submit(_work, attempt.item)] = attempt
            except BrokenProcessPool:  # the pool may know before the futures do
                queue.lost(attempt)
                self._restart(queue, busy)
        return bool(busy)

    def _restart(self, queue: Queue[Item], busy: dict[Future[Result], Attempt[Item]]) -> None:
        self.close()
        for attempt in busy.values():
            queue.lost(attempt)
        busy.clear()

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
