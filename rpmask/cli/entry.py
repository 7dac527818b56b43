"""Where a command starts and ends: errors become a sentence, a hint and an exit code."""

from __future__ import annotations

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
from rpmask.cli.outside import foreseen
from rpmask.errors import RpmaskError
from rpmask.logs import LOG

# Each adds its verbs to the app, in the order in which `--help` shows them.
VERBS = (
    "step_verbs",
    "finetune_verb",
    "run_verb",
    "tune_verb",
    "jackpot_verb",
    "report_verb",
    "deploy_verbs",
    "mask_verb",
    "service_verbs",
)
for _verb in VERBS:
    import_module(f"rpmask.cli.{_verb}")

# Typer carries its own copy of click in some versions and uses the real one in others; either way
# this is the error of its parser.
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
    """SIGTERM, made an exception so that runs are closed on the way out."""


def _on_terminate(*_: Any) -> None:
    raise _Terminated(128 + signal.SIGTERM)


def _follow() -> int:
    """A process that torchrun started beside the leading one: it prints nothing but its own errors."""
    # Nothing of a follower's needs closing, and Python's own handlers wait while it waits.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rpmask.steps.training import follow

    try:
        follow()
    except RpmaskError as error:
        return _fail(error.message, error.hint, error.exit_code, as_json=False)
    return 0


def _share_cores() -> None:
    """Let OpenMP's threads sleep sooner when they wait for each other; before torch brings libgomp.

    By default they spin, and where another process has one of the cores they spin against the very thread
    they wait for (`benchmarks/waiting.py`). Other kinds of OpenMP do not read this.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every foreseen error becomes one sentence, a hint and an exit code."""
    _share_cores()
    if ranks.is_follower():
        sys.exit(_follow())
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    signal.signal(signal.SIGTERM, _on_terminate)
    # A short verb is mostly imports, which make no garbage: looking for it took an eighth of the time.
    gc.set_threshold(100_000, 20, 20)
    # The tokenizers warn about forks that our worker processes do not make.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        code = _called(given)
        if code == 128 + signal.SIGINT:  # Typer makes this of a KeyboardInterrupt, and says nothing
            code = _stopped(signal.SIGINT)
    except RpmaskError as error:
        LOG.debug("an error", exc_info=error)  # the traceback that --verbose shows
        code = _fail(error.message, error.hint, error.exit_code, as_json)
    except UsageError as error:
        if as_json:
            hint = "`rpmask VERB --help` lists what a verb takes."
            code = _fail(error.format_message(), hint, error.exit_code, True)
        else:
            error.show()
            code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _stopped(signal.SIGINT)
    except _Terminated:
        code = _stopped(signal.SIGTERM)
    except Exception as error:
        if _unread(error):
            code = _hung_up()
        else:
            known = foreseen(error)
            if known is None:
                raise
            LOG.debug("an error", exc_info=error)
            code = _fail(known.message, known.hint, known.exit_code, as_json)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _hung_up()
    if code == 0:
        ranks.dismiss()
    sys.exit(code)


def _called(given: list[str]) -> int:
    """The app's exit code. Typer and rich exit with 1 where they see a broken pipe."""
    try:
        return app(args=given, prog_name="rpmask", standalone_mode=False) or 0
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
        if frame.f_globals.get("__name__") == "rich.console":  # which writes to stdout alone
            return _hung_up()
        raise stop.__context__ from None  # Typer has not asked which pipe it was


def _unread(error: BaseException) -> bool:
    """Whether it is our own stdout or stderr whose reader has gone, as in `rpmask report | head -1`."""
    if not isinstance(error, BrokenPipeError):
        return False
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _hung_up() -> int:
    """Say nothing more to anybody; the exit code of a command that SIGPIPE ends, as it does most."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    return 128 + signal.SIGPIPE
