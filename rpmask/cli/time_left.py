"""The time left of a whole command, from its plan and from what its parts have taken so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rpmask.steps.planning import Part
from rpmask.words import duration

EARLY = 0.1  # the share of a part before which its own speed says little


class TimeLeft:
    """Hears of every step; parts that took more or less than planned correct what is left."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._ahead = list(parts)
        self._part: Part | None = None
        self._began = 0.0
        self._share = 0.0  # of the current part's training steps
        self._planned = self._took = 0.0  # of the parts that have ended

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """A step is carried out; one that is no part, as `run` itself, is passed over."""
        if not self._ahead or self._ahead[0].step != step:
            yield
            return
        self._part, self._began, self._share = self._ahead.pop(0), time.monotonic(), 0.0
        try:
            yield
        finally:
            if self._part.run_id is None:
                self._planned += self._part.seconds
                self._took += time.monotonic() - self._began
            self._part = None

    def progress(self, done: int, total: int, what: str) -> None:
        """The current part has done so many of its steps."""
        if what == "steps" and total:
            self._share = done / total

    @property
    def seconds(self) -> float:
        """The estimate: what is planned, times how much longer the parts so far took."""
        slower = self._took / self._planned if self._planned else 1.0
        ahead = slower * sum(part.seconds for part in self._ahead)
        if self._part is None:
            return ahead
        elapsed = time.monotonic() - self._began
        if self._share > EARLY:
            return ahead + elapsed * (1.0 - self._share) / self._share
        return ahead + max(0.0, slower * self._part.seconds - elapsed)

    def __str__(self) -> str:
        return f"about {duration(self.seconds)} left"
