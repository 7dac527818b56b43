"""Start commands in milliseconds: a process that has the libraries loaded forks one child per command.

Importing torch, transformers and MLflow takes several seconds, a fork takes milliseconds. A child does what
`python -m MODULE` does, with its own arguments, folder, environment and file descriptors. It is a process
of its own: it has a PID and an exit code, and signals can be sent to it.

A library that reads an environment variable when it is imported has read the server's, so commands whose
environments differ in such a variable (`read_at_import`) need a server each.

    python tests/forkserver.py serve ADDRESS        # serve until standard input ends
    python tests/forkserver.py MODULE ARGUMENTS...  # a command, from the server that RPMASK_FORKSERVER names
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "RPMASK_FORKSERVER"
MESSAGE_BYTES = 1 << 18  # more than an order takes: arguments and an environment
IMPORTS = (
    *(
        "accelerate",
        "alembic.command",
        "datasets",
        "evaluate",
        "git",
        "matplotlib.backends.backend_agg",
    ),
    *("mlflow.genai", "mlflow.pyfunc", "mlflow.store.model_registry.sqlalchemy_store"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.tracing.processor.base_mlflow"),
    *("mlflow.transformers", "optuna", "psutil"),
    *("rpmask.charts", "rpmask.cli.entry", "rpmask.deploy.packed", "rpmask.steps.jackpot"),
    *("rpmask.steps.pipeline", "rpmask.train.trainer", "scipy.stats", "sklearn.metrics"),
    *("sqlalchemy.dialects.sqlite", "transformers.models.bert.modeling_bert"),
    *("transformers.pipelines", "transformers.trainer"),
)
STEPS = ("sample", "screen", "select", "finetune", "run", "jackpot", "tune", "export")
# Libraries read variables with these prefixes when they are imported, except for a few that they read when
# used, and a few that they set themselves.
READ_AT_IMPORT = (
    *(
        "CUDA_",
        "DO_NOT_TRACK",
        "GOMP_",
        "HF_",
        "HOME",
        "KMP_",
        "LANG",
        "LC_",
        "LD_",
        "MKL_",
        "MLFLOW_",
    ),
    *("MPL", "OMP_", "OPENBLAS_", "PYTHON", "PYTORCH_", "TMPDIR", "TOKENIZERS_", "TORCH"),
    *("TRANSFORMERS_", "XDG_"),
)
EXCEPTIONS = {
    *("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
    *(
        "MLFLOW_RUN_ID",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
    ),
    *("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"),
}


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that must be the same for a server and a command."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_IMPORT) and name not in EXCEPTIONS
    }


class ForkServer:
    """A running server; it ends with the process that started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.address = f"rpmask-{os.getpid()}-{os.urandom(4).hex()}"
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for pytest, which ends the server
            # A thread does not survive a fork, and MLflow's telemetry is one.
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.read() == b"ready\n", "the fork server did not start"

    def close(self) -> None:
        """End the server and wait for it, so that its CPU time counts as ours."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Command:
    """A forked command, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(MESSAGE_BYTES))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or minus the number of the signal."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            self.returncode = int(self._connection.recv(MESSAGE_BYTES))
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while the command runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(
    address: str,
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    descriptors: Sequence[int] = (0, 1, 2),
    setup: Sequence[Any] = (),
) -> Command:
    """Start a command whose stdin, stdout and stderr are the given descriptors.

    `setup` is a module, a function and its arguments; the child calls it before the command.
    """
    order = {
        "module": module,
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
        "setup": list(setup),
    }
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(f"\0{address}")
    socket.send_fds(connection, [json.dumps(order).encode()], list(descriptors))
    return Command(connection)


def _become(order: dict[str, Any], descriptors: list[int]) -> None:
    """Turn this child into the command, and end it as an interpreter ends."""
    import atexit
    import importlib
    import random
    import runpy
    import threading

    import numpy as np

    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    random.seed()
    np.random.seed()
    sys.argv = ["", *order["arguments"]]  # runpy fills in the first
    code = 0
    try:
        if order["setup"]:
            module, function, *arguments = order["setup"]
            getattr(importlib.import_module(module), function)(*arguments)
        sys.path[0] = order["folder"]  # as `python -m` has it
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)  # taking apart thousands of modules would cost a third of a second


def _load() -> None:
    """Import the libraries, and leave no thread behind."""
    import gc
    import importlib

    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as a command sets it before it imports torch
    for name in IMPORTS:
        importlib.import_module(name)
    from emptystore import use_template

    from rpmask.steps.decides import STEP_FILES, code_version

    use_template()
    for step in STEPS:
        code_version(STEP_FILES.get(step, step))  # found once, for all commands
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    # pyarrow's allocator has a thread that it starts again after a fork.
    others = [name for name in names if not name.startswith("jemalloc")]
    assert len(others) == 1, f"a fork would lose other threads: {others}"
    gc.collect()
    gc.freeze()  # children do not copy the pages of what is never collected


def _serve(address: str) -> None:
    """Fork commands until standard input ends."""
    _load()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{address}")
    listener.listen(64)
    ended, signalled = socket.socketpair()  # readable once a child has ended
    for end in (ended, signalled):
        end.setblocking(False)
    signal.set_wakeup_fd(signalled.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("ready", flush=True)
    os.dup2(2, 1)  # closes the pipe
    running: dict[int, socket.socket] = {}
    while 0 not in (ready := select.select([0, listener, ended], [], [])[0]):
        if ended in ready:
            ended.recv(64)
            _report(running)
        if listener in ready:
            connection, _ = listener.accept()
            content, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for opened in (listener, ended, signalled, connection, *running.values()):
                    opened.close()
                _become(json.loads(content), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            connection.send(str(child).encode())
            running[child] = connection


def _report(running: dict[int, socket.socket]) -> None:
    """Send the exit codes of the commands that have ended."""
    while running:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        with running.pop(child) as connection, suppress(OSError):  # the caller may have ended
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def stand_in(module: str, arguments: Sequence[str]) -> int:
    """Run a command as if it were this process; the exit code."""
    command = fork(os.environ[VARIABLE], module, arguments, Path.cwd(), os.environ)
    signal.signal(signal.SIGTERM, lambda number, _: command.send_signal(number))
    code = command.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        sys.exit(stand_in(sys.argv[1], sys.argv[2:]))
