"""A closed pipe: `rpmask report | head -1` is quiet and exits like `git log | head -1`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import clean_environment

SIGPIPE = 128 + signal.SIGPIPE
PRINT = """
import sys
from rpmask.cli import entry
from rpmask.cli.app import app

@app.command()
def answer() -> None:
    for number in range({lines}):
        print("a line that somebody may read", number)
    {then}

entry.main(["answer"])
"""


def piped(program: str, tmp_path: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose stdout is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-c", program],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            cwd=tmp_path,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("lines", [1, 20_000], ids=["at the end", "in the middle"])
def test_a_closed_pipe_is_quiet(lines: int, tmp_path: Path) -> None:
    done = piped(PRINT.format(lines=lines, then=""), tmp_path)
    assert done.stderr == b""
    assert done.returncode == SIGPIPE


def test_a_closed_pipe_is_quiet_for_a_help_page(tmp_path: Path) -> None:
    done = piped("from rpmask.cli import main; main(['mask', '--help'])", tmp_path)
    assert done.stderr == b""
    assert done.returncode == SIGPIPE


def test_a_broken_pipe_elsewhere_keeps_its_traceback(tmp_path: Path) -> None:
    """The pipe of a worker, for example: that is a defect."""
    program = PRINT.format(lines=1, then="raise BrokenPipeError(32, 'a worker is gone')")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=clean_environment(), cwd=tmp_path
    )
    assert b"a worker is gone" in done.stderr
    assert b"Traceback" in done.stderr
    assert done.returncode == 1
