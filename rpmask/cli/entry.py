"""Start and end of a command: an error becomes a sentence, a hint and an exit code."""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import sys
import traceback
from importlib import import_module
from typing import Any

import typer

from rpmask import ranks
from rpmask.cli.app import app
from rpmask.cli.environment_errors import as_user_error
from rpmask.errors import RpmaskError
from rpmask.logs import LOG

# Each adds its verbs to the app, in the order in which `--help` shows them.
VERBS = (
    *("sample", "screen", "select", "finetune", "run", "tune", "jackpot", "report"),
    *("export", "bench", "predict", "ui", "doctor", "mask", "init"),
)
for _verb in VERBS:
    import_module(f"rpmask.cli.{_verb}")

# The error of Typer's parser, whether this version of Typer has its own copy of click or uses the real one.
UsageError: Any = typer.BadParameter.__bases__[0]


def _fail(message: str, hint: str, code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message, "hint": hint}))
    else:
        print(f"error: {message}", file=sys.stderr)
        if hint:
            print(f"hint:  {hint}", file=sys.stderr)
    return code


def _stopped(number: int) -> int:
    name = signal.Signals(number).name
    print(f"\nStopped by {name}. The same command continues where it stopped.", file=sys.stderr)
    return 128 + number


class _Terminated(SystemExit):
    """SIGTERM as an exception, so that runs are closed."""


def _on_terminate(*_: Any) -> None:
    raise _Terminated(128 + signal.SIGTERM)


def _follow() -> int:
    """Run a process that torchrun started next to the leading one; it prints only its own errors."""
    # A follower has nothing to close, and Python's handlers would wait for the collective that it waits in.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rpmask.steps.training import follow

    try:
        follow()
    except RpmaskError as error:
        return _fail(error.message, error.hint, error.exit_code, as_json=False)
    return 0


def _share_cores() -> None:
    """Let waiting OpenMP threads sleep sooner. libgomp reads this when torch loads it; others ignore it.

    By default they spin, and on a shared core they spin against the thread that they wait for
    (`benchmarks/waiting.py`).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an expected error becomes one sentence, a hint and an exit code."""
    _share_cores()
    if ranks.is_follower():
        sys.exit(_follow())
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    signal.signal(signal.SIGTERM, _on_terminate)
    # A short verb is mostly imports, which make no garbage; collecting took an eighth of the time.
    gc.set_threshold(1_000_000, 20, 20)
    # Python collects all objects when it ends, for seconds; the system frees them at once.
    atexit.register(gc.freeze)
    # The tokenizers warn about forks, which our worker processes do not use.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        code = _run_app(given)
        if code == 128 + signal.SIGINT:  # Typer turns a KeyboardInterrupt into this code, silently
            code = _stopped(signal.SIGINT)
    except RpmaskError as error:
        LOG.debug("an error", exc_info=error)  # --verbose shows the traceback
        code = _fail(error.message, error.hint, error.exit_code, as_json)
    except UsageError as error:
        if as_json:
            hint = "`rpmask VERB --help` lists the options of a verb."
            code = _fail(error.format_message(), hint, error.exit_code, True)
        else:
            error.show()
            code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _stopped(signal.SIGINT)
    except _Terminated:
        code = _stopped(signal.SIGTERM)
    except Exception as error:
        if _reader_is_gone(error):
            code = _exit_on_closed_pipe()
        else:
            known = as_user_error(error)
            if known is None:
                raise
            LOG.debug("an error", exc_info=error)
            code = _fail(known.message, known.hint, known.exit_code, as_json)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _exit_on_closed_pipe()
    if code == 0:
        ranks.dismiss()
    sys.exit(code)


def _run_app(given: list[str]) -> int:
    """Run the app and return its exit code. Typer and rich exit with 1 on a broken pipe."""
    try:
        return app(args=given, prog_name="rpmask", standalone_mode=False) or 0
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
        if frame.f_globals.get("__name__") == "rich.console":  # rich writes to stdout only
            return _exit_on_closed_pipe()
        raise stop.__context__ from None  # Typer does not check which pipe it was


def _reader_is_gone(error: BaseException) -> bool:
    """Whether our own stdout or stderr has lost its reader, as in `rpmask report | head -1`."""
    if not isinstance(error, BrokenPipeError):
        return False
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _exit_on_closed_pipe() -> int:
    """Discard all further output; return the exit code of a command that SIGPIPE ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    return 128 + signal.SIGPIPE
