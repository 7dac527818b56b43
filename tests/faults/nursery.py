"""A process that has the libraries loaded and forks commands, so that hundreds can be started and killed.

A command counts its own progress: every file it opens for writing, renames or removes, every
statement that changes the database, every advance of a bar. Told a moment, it kills itself there, so
a moment is the same place of the road on a slow machine and on a fast one.

    python tests/faults/nursery.py    # reads one JSON order a line, answers one JSON line each
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import sqlalchemy

WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT
CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER")
HEAVY = (
    *("datasets", "evaluate", "git", "matplotlib.backends.backend_agg", "mlflow.genai"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
    *("mlflow.transformers", "rpmask.cli.app", "rpmask.train.trainer", "rpmask.steps.pipeline"),
    *("rpmask.charts", "rpmask.tracking.registry", "sqlalchemy.dialects.sqlite"),
    "transformers.models.bert.modeling_bert",
)
MOVES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


class Progress:
    """Counts what a command does, and ends it at its moment."""

    def __init__(self, folder: Path, moment: int | None, fraction: float, number: int) -> None:
        self._folder, self._moment, self._fraction = str(folder), moment, fraction
        self._number = number
        self._started = time.monotonic()
        self._signalled: float | None = None
        self.events = 0

    def report(self) -> str:
        """What was counted, and the seconds since the signal, where there was one."""
        since = None if self._signalled is None else time.monotonic() - self._signalled
        return json.dumps({"events": self.events, "since": since})

    def watch(self) -> None:
        """Hear of files, databases and bars from here on."""
        from rpmask.steps.context import Tee

        sys.addaudithook(self._heard)
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", self._stated)
        sqlalchemy.event.listen(sqlalchemy.Engine, "commit", self._committed)
        said = Tee.progress

        def progress(tee: Tee, done: int, total: int, what: str) -> None:
            self.advance()
            said(tee, done, total, what)

        Tee.progress = progress  # type: ignore[method-assign]

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES and self._ours(path):
                self.advance()
        elif event in MOVES and self._ours(arguments[0]):
            self.advance()

    def _stated(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().upper().startswith(CHANGES):
            self.advance()

    def _committed(self, _: Any) -> None:
        self.advance()

    def _ours(self, path: Any) -> bool:
        """Whether a path is in the command's folder, or relative to it."""
        text = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
        return bool(text) and (not text.startswith("/") or text.startswith(self._folder))

    def advance(self) -> None:
        """One more thing was done; at the moment, or a fraction of an event after it, the end."""
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


def _child(order: dict[str, Any], report: Path) -> None:
    folder = Path(order["folder"])
    os.chdir(folder)
    signal.alarm(order["patience"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the nursery itself ignores it
    os.environ.update(order["env"])
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        file = os.open(report.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    from rpmask.cli.entry import main

    right, wrong = time.time, float(order["clock"])
    time.time = lambda: right() + wrong
    progress = Progress(folder, order["moment"], order["fraction"], order["signal"])
    progress.watch()
    code = 1
    try:
        main(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        report.write_text(progress.report())
        os._exit(code)


def serve() -> None:
    """Carry out orders until standard input ends."""
    for name in HEAVY:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lose the other threads"
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        report = Path(order["report"])
        report.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _child(order, report)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
