"""Engines on this machine: in this process, or in N worker processes that share the cores."""

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

from rpmask.engines.engine import Given, Handout, Item, Result, WorkerFactory

# Workers are forked from a process that has done the imports and nothing else: no thread, no device. Where
# that is not usual they are fresh.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"


class InProcess(Generic[Item, Result]):
    """One worker, here. The worker is built at the first item."""

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
    """Begin to import what workers need, in the background: workers that start later have it at once."""
    if _METHOD == "forkserver":
        context = multiprocessing.get_context(_METHOD)
        context.set_forkserver_preload(["__main__", *modules])
        forkserver.ensure_running()


_factory: bytes = b""
_worker: Callable[[Any], Any] | None = None  # one a process, built for its first item


def _prepare(factory: bytes, environments: SimpleQueue[Mapping[str, str]]) -> None:
    global _factory
    _factory = factory
    os.environ.update(environments.get())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for items for ever."""
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
    """N processes. When one dies all are replaced, and the items in hand are given out again.

    environments are what each process has set beside ours, such as the device that it may see.
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
            # As bytes: a process reads them before it imports anything, so that the next one, which
            # starts when they are read, does not wait for those imports.
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
        handout = Handout(items)
        busy: dict[Future[Result], Given[Item]] = {}
        while self._give_out(handout, busy):
            done, _ = wait(busy, return_when=FIRST_COMPLETED)
            future = done.pop()
            try:
                result = future.result()
            except BrokenProcessPool:
                self._start_anew(handout, busy)
                continue
            del busy[future]
            self._give_out(handout, busy)  # the worker goes on while the result is written down
            yield result

    def _give_out(self, handout: Handout[Item], busy: dict[Future[Result], Given[Item]]) -> bool:
        """Give every free worker an item; whether any is at work."""
        while len(busy) < self.workers and (given := handout.next()) is not None:
            try:
                busy[self._started().submit(_work, given.item)] = given
            except BrokenProcessPool:  # known here before the futures of the items in hand say so
                handout.back(given)
                self._start_anew(handout, busy)
        return bool(busy)

    def _start_anew(self, handout: Handout[Item], busy: dict[Future[Result], Given[Item]]) -> None:
        self.close()
        for given in busy.values():
            handout.back(given)
        busy.clear()

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
