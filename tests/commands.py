"""Run rpmask as a user does: as a process of its own, in a folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forkserver import ForkServer, fork, read_at_import

# Options that make a pipeline short enough for a test: few rows, few steps, every part of the machinery.
SMALL = [
    *("--levels", "0.8,0.9375", "--k", "4", "--train-rows", "256", "--selection-rows", "100"),
    *("--examples", "80", "--epochs", "1", "--level-epochs", "1", "--threads", "1"),
    *("--calibration-rows", "16"),
    # A model trained this little retains little, and becomes champion all the same.
    *("--retain", "0.2"),
]


# Makes a store, and ends with exit code 2.
NEW_STORE = ["sample", "--model", "models:/rpmask-demo@champion"]


def clean_environment() -> dict[str, str]:
    """This process's environment without the tracking address that MLflow exports once it is used."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**mine, "OMP_NUM_THREADS": "1"}


_SERVERS: dict[frozenset[tuple[str, str]], ForkServer] = {}


def fork_server(environment: Mapping[str, str]) -> ForkServer:
    """The server that this process forks commands with such an environment from."""
    key = frozenset(read_at_import(environment).items())
    if key not in _SERVERS:
        _SERVERS[key] = ForkServer(environment)
        atexit.register(_SERVERS[key].close)
    return _SERVERS[key]


class Running:
    """A command that was started; its output goes to files, so that no pipe can fill up."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        module: str = "rpmask",
        cold: bool = False,
        setup: Sequence[Any] = (),
    ) -> None:
        environment = {**clean_environment(), **(env or {})}
        self._stdout = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115
        if not cold:
            with open(os.devnull) as nothing:
                files = [file.fileno() for file in (nothing, self._stdout, self._stderr)]
                address = fork_server(environment).address
                self.process: Any = fork(
                    address, module, arguments, folder, environment, files, setup
                )
        else:
            assert not setup, "only a forked command can be set up"
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
            )

    def finish(self, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Wait for the end; the exit code and what was printed."""
        try:
            code = self.process.wait(timeout)
        except BaseException:
            self.process.kill()
            raise
        printed = []
        for file in (self._stdout, self._stderr):
            file.seek(0)
            printed.append(file.read())
            file.close()
        return subprocess.CompletedProcess([str(self.process.pid)], code, *printed)


def rpmask(
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    *,
    cold: bool = False,
) -> subprocess.CompletedProcess[str]:
    """The command's outcome, whatever it is.

    The command is forked from a process that has the libraries loaded. `cold` starts a fresh interpreter,
    as a user does.
    """
    return Running(arguments, folder, env, cold=cold).finish(timeout)


def answer(
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    *,
    cold: bool = False,
) -> dict[str, Any]:
    """What a command that must succeed prints with --json."""
    done = rpmask([*arguments, "--json"], folder, env, cold=cold)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert len(done.stdout.splitlines()) == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def what_matters(result: dict[str, Any]) -> list[Any]:
    """What two runs of the same pipeline must have in common."""
    return [
        (
            [c["mask_digest"] for c in level["sample"]["candidates"]],
            level["screen"]["candidates"],
            level["select"]["winner"],
            level["select"]["interval"],
            level["finetune"]["dev"],
            level["finetune"]["best_step"],
        )
        for level in result["levels"]
    ]
