"""What an engine is: a way to apply one prepared worker to many items, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)

# Builds a worker once per process; the worker is then called with one item after another. Both
# must be picklable by reference, which a functools.partial of a class is.
WorkerFactory = Callable[[], Callable[[Item], Result]]


class Engine(Protocol[Item_contra, Result_co]):
    """Results come back in the order they finish; who needs an order makes it."""

    name: str
    workers: int

    def map(self, items: Sequence[Item_contra]) -> Iterator[Result_co]:
        """Apply the worker to every item."""

    def close(self) -> None:
        """Let go of the workers."""
