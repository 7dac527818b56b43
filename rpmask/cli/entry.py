"""Where a command starts and ends: errors become a sentence, a hint and an exit code."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

import typer

from rpmask import ranks
from rpmask.cli.app import app
from rpmask.cli.outside import foreseen
from rpmask.errors import RpmaskError

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
        code = app(args=given, prog_name="rpmask", standalone_mode=False) or 0
        if code == 128 + signal.SIGINT:  # Typer makes this of a KeyboardInterrupt, and says nothing
            code = _stopped(signal.SIGINT)
    except RpmaskError as error:
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
    except BrokenPipeError:
        code = 0
    except Exception as error:
        known = foreseen(error)
        if known is None:
            raise
        code = _fail(known.message, known.hint, known.exit_code, as_json)
    sys.stdout.flush()
    if code == 0:
        ranks.dismiss()
    sys.exit(code)
