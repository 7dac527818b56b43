"""What an engine is: a way to apply one prepared worker to many items, wherever it runs."""

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

LOSSES_ALLOWED = 3


class Engine(Protocol[Item_contra, Result_co]):
    """Results come back in the order they finish; who needs an order makes it."""

    name: str
    workers: int

    def map(self, items: Iterable[Item_contra]) -> Iterator[Result_co]:
        """Apply the worker to every item. An item is taken when there is a worker for it."""

    def close(self) -> None:
        """Let go of the workers."""


@dataclass
class Given(Generic[Item]):
    """An item that was given out, and how many workers were lost with it."""

    item: Item
    losses: int = 0


class Handout(Generic[Item]):
    """Items given out one by one, as late as possible: an item may be large.

    One whose worker was lost is given out again, before any other, but not for ever: an item that takes
    every worker down with it would never end.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._new = iter(items)
        self._again: deque[Given[Item]] = deque()

    def next(self) -> Given[Item] | None:
        """The next item; None when all are given out."""
        if self._again:
            return self._again.popleft()
        for item in self._new:
            return Given(item)
        return None

    def left(self) -> bool:
        """Whether there is an item to give out."""
        if not self._again and (given := self.next()) is not None:
            self._again.append(given)
        return bool(self._again)

    def back(self, given: Given[Item]) -> None:
        """Take back an item whose worker was lost."""
        given.losses += 1
        if given.losses > LOSSES_ALLOWED:
            raise RunFailed(
                f"{given.losses} workers died of the same candidate.",
                "They may run out of memory: use fewer --workers or a smaller --batch-size.",
            )
        self._again.append(given)
