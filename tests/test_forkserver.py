"""A forked command is a process like any other: output, environment, exit codes, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from commands import clean_environment, fork_server, rpmask
from forkserver import VARIABLE, fork, read_at_import

SHOW = """
import os, sys, time
print(os.environ["NAME"], os.getcwd(), sys.argv[1:], sys.stdin.read(), flush=True)
while "wait" in sys.argv:
    time.sleep(0.01)
sys.exit(7)
"""


@pytest.mark.parametrize("arguments", [["--version"], ["sample", "--k", "0"], ["screen", "--json"]])
def test_it_prints_and_ends_as_a_cold_start_does(arguments: list[str], tmp_path: Path) -> None:
    forked = rpmask(arguments, tmp_path)
    cold = rpmask(arguments, tmp_path, cold=True)
    assert forked.returncode == cold.returncode
    assert forked.stdout == cold.stdout
    assert forked.stderr == cold.stderr


def test_it_has_its_own_arguments_environment_folder_and_files(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    environment = {
        **clean_environment(),
        "NAME": "value",
        VARIABLE: fork_server(clean_environment()).address,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("forkserver.py")), "show", "one"],
        cwd=tmp_path,
        env=environment,
        input="typed",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"value {tmp_path} ['one'] typed\n"


def test_signals_reach_it(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    environment = {**clean_environment(), "NAME": "value"}
    with open(os.devnull) as nothing, (tmp_path / "printed").open("w") as file:
        files = (nothing.fileno(), file.fileno(), file.fileno())
        command = fork(
            fork_server(clean_environment()).address, "show", ["wait"], tmp_path, environment, files
        )
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.1)
        assert command.poll() is None
        command.send_signal(signal.SIGTERM)
        assert command.wait() == -signal.SIGTERM


def test_what_a_library_reads_at_import_needs_another_server() -> None:
    for name in ("torch", "sklearn", "rpmask.steps.pipeline"):  # which set variables of their own
        import_module(name)
    now = clean_environment()
    same = {**now, "MLFLOW_TRACKING_URI": "sqlite:///x.db", "RPMASK_GLUE_DIR": "glue"}
    assert fork_server(same) is fork_server(now)
    for name in ("HF_HOME", "MLFLOW_LOGGING_LEVEL", "OMP_NUM_THREADS"):
        assert read_at_import({**now, name: "7"}) != read_at_import(now)
