"""Engines apply one prepared worker to many items, on this machine or on a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rpmask.errors import RunFailed

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)

# Builds a worker once per process; the worker is then called with one item after another. Both
# must be picklable by reference, which a functools.partial of a class is.
WorkerFactory = Callable[[], Callable[[Item], Result]]

RETRIES = 3


class Engine(Protocol[Item_contra, Result_co]):
    """Applies a worker to items and yields results in the order they finish."""

    name: str
    workers: int

    def map(self, items: Iterable[Item_contra]) -> Iterator[Result_co]:
        """Apply the worker to every item. An item is taken only when a worker is free for it."""

    def close(self) -> None:
        """Stop the workers."""


class Indexed(Protocol[Result_co]):
    """Values by number: a tuple, or values that an engine fetches when they are needed."""

    def __getitem__(self, index: int, /) -> Result_co: ...


@dataclass
class Attempt(Generic[Item]):
    """An item given to a worker, and how many workers were lost with it."""

    item: Item
    losses: int = 0


class Queue(Generic[Item]):
    """Gives out items one by one, as late as possible, because an item may be large.

    Lost items are retried first, at most three times: an item may be what kills its workers.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._new = iter(items)
        self._retries: deque[Attempt[Item]] = deque()

    def next(self) -> Attempt[Item] | None:
        """The next item; None when all are given out."""
        if self._retries:
            return self._retries.popleft()
        for item in self._new:
            return Attempt(item)
        return None

    def left(self) -> bool:
        """Whether there is an item to give out."""
        if not self._retries and (attempt := self.next()) is not None:
            self._retries.append(attempt)
        return bool(self._retries)

    def again(self, item: Item) -> None:
        """Take back an item that no worker was lost with."""
        self._retries.append(Attempt(item))

    def lost(self, attempt: Attempt[Item]) -> None:
        """Take back an item whose worker was lost."""
        attempt.losses += 1
        if attempt.losses > RETRIES:
            raise RunFailed(
                f"{attempt.losses} workers died of the same candidate.",
                "They may run out of memory: use fewer --workers or a smaller --batch-size.",
            )
        self._retries.append(attempt)
