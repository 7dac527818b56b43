"""Count what a command does, and send it a signal at a chosen moment.

A command counts every file that it opens for writing, renames or removes, every statement that changes
the database, and every advance of a progress bar. It sends the signal to itself when the count reaches the
moment, so that a moment is the same place of the run on a slow machine and on a fast one.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy
from emptystore import use_migrations

WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT
CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER")
MOVES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def watch(
    report: str,
    moment: int | None,
    fraction: float,
    number: int,
    clock: float,
    patience: int,
    migrations: bool,
) -> None:
    """Set a command up: count its events into a report, send it a signal, set its clock wrong.

    It ends with SIGALRM after so many seconds of patience.
    """
    signal.alarm(patience)
    if migrations:
        use_migrations()
    right = time.time
    time.time = lambda: right() + clock
    progress = Progress(Path.cwd(), moment, fraction, number)
    progress.watch()
    atexit.register(lambda: Path(report).write_text(progress.report()))


class Progress:
    """Counts events, and sends the signal at the moment or a fraction of an event after it."""

    def __init__(self, folder: Path, moment: int | None, fraction: float, number: int) -> None:
        self._folder, self._moment, self._fraction = str(folder), moment, fraction
        self._number = number
        self._started = time.monotonic()
        self._signalled: float | None = None
        self.events = 0

    def report(self) -> str:
        """The number of events, and the seconds since the signal where there was one."""
        since = None if self._signalled is None else time.monotonic() - self._signalled
        return json.dumps({"events": self.events, "since": since})

    def watch(self) -> None:
        """Listen to files, databases and progress bars from here on."""
        from rpmask.steps.context import Tee

        sys.addaudithook(self._file_event)
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", self._statement)
        sqlalchemy.event.listen(sqlalchemy.Engine, "commit", self._commit)
        shown = Tee.progress

        def progress(tee: Tee, done: int, total: int, what: str) -> None:
            self.advance()
            shown(tee, done, total, what)

        Tee.progress = progress  # type: ignore[method-assign]

    def _file_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES and self._ours(path):
                self.advance()
        elif event in MOVES and self._ours(arguments[0]):
            self.advance()

    def _statement(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().upper().startswith(CHANGES):
            self.advance()

    def _commit(self, _: Any) -> None:
        self.advance()

    def _ours(self, path: Any) -> bool:
        """Whether a path is in the command's folder, or relative to it."""
        text = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
        return bool(text) and (not text.startswith("/") or text.startswith(self._folder))

    def advance(self) -> None:
        """Count one event; at the moment, send the signal."""
        self.events += 1
        if self.events != self._moment:
            return
        self._signalled = time.monotonic()
        delay = self._fraction * (time.monotonic() - self._started) / self.events
        if delay == 0:
            os.kill(os.getpid(), self._number)
        else:
            timer = threading.Timer(delay, os.kill, (os.getpid(), self._number))
            timer.daemon = True
            timer.start()
