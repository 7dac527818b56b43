"""Progress, metrics and rungs, as the core reports them. The core neither prints nor logs."""

from __future__ import annotations

from typing import Protocol

from rpmask.records import Score


class Observer(Protocol):
    """Receives reports from the core while it works."""

    def progress(self, done: int, total: int, what: str) -> None:
        """`done` of `total` units of `what` are finished."""

    def metric(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""

    def rung(self, score: Score) -> None:
        """A candidate has reached a rung."""


class Silent:
    """An observer that ignores every report."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Ignore it."""

    def metric(self, name: str, value: float, step: int) -> None:
        """Ignore it."""

    def rung(self, score: Score) -> None:
        """Ignore it."""
