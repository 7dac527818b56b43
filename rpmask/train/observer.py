"""How what happens inside the core leaves it: progress, metrics, rungs. The core never prints."""

from __future__ import annotations

from typing import Protocol

from rpmask.records import Score


class Observer(Protocol):
    """What a step wants to hear while it works."""

    def progress(self, done: int, total: int, what: str) -> None:
        """`done` of `total` units of `what` are finished."""

    def metric(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""

    def rung(self, score: Score) -> None:
        """A candidate has reached a rung."""


class Silent:
    """Hears everything, says nothing."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Ignore it."""

    def metric(self, name: str, value: float, step: int) -> None:
        """Ignore it."""

    def rung(self, score: Score) -> None:
        """Ignore it."""
