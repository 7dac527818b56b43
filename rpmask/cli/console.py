"""Progress on stderr: bars with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rpmask.train.observer import Observer, Silent

if TYPE_CHECKING:
    from rpmask.cli.time_left import TimeLeft

PLAIN_SECONDS = 5.0  # between two progress lines where there is no terminal


class TalkingConsole:
    """Writes the progress of a step on stderr, or nothing if it is quiet."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.left: TimeLeft | None = None  # of the whole command, where it was planned
        self._console = RichConsole(stderr=True, highlight=False)

    def say(self, message: str) -> None:
        """Print a line for the user."""
        if not self._quiet:
            self._console.print(escape(message), soft_wrap=True)

    @contextmanager
    def working(self, title: str) -> Iterator[Observer]:
        """Show progress while the block runs."""
        if self._quiet:
            yield Silent()
        elif not self._console.is_terminal:
            yield Lines(title, self.left)
        else:
            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                transient=True,
            ) as display:
                yield Bar(display, title, self.left)


class Bar(Silent):
    """An observer that moves a bar."""

    def __init__(self, display: Progress, title: str, left: TimeLeft | None = None) -> None:
        self._display, self._left = display, left
        self._task = display.add_task(title, total=None, left="")

    def progress(self, done: int, total: int, what: str) -> None:
        """Move the bar."""
        left = ""
        if self._left is not None:
            self._left.progress(done, total, what)
            left = f"{self._left} in all"
        self._display.update(self._task, completed=done, total=total, left=left)


class Lines(Silent):
    """An observer that writes a line every few seconds, for logs."""

    def __init__(self, title: str, left: TimeLeft | None = None) -> None:
        self._title, self._left = title, left
        self._said = time.monotonic()

    def progress(self, done: int, total: int, what: str) -> None:
        """Print the progress, at most every few seconds."""
        if self._left is not None:
            self._left.progress(done, total, what)
        now = time.monotonic()
        if now - self._said > PLAIN_SECONDS:
            self._said = now
            left = f"; {self._left} in all" if self._left else ""
            print(f"{self._title}: {done} of {total} {what}{left}", file=sys.stderr, flush=True)
