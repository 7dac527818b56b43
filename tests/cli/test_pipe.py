"""A reader that has read enough: `rpmask report | head -1` is quiet, and ends as `git log | head -1` does."""

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
    """The program, its stdout a pipe that nobody reads."""
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


def test_a_verb_of_ours(tmp_path: Path) -> None:
    done = piped("from rpmask.cli import main; main(['mask', '--help'])", tmp_path)
    assert done.stderr == b""
    assert done.returncode == SIGPIPE


def test_another_pipe_that_broke_is_not_hidden(tmp_path: Path) -> None:
    """Of a worker, for example: that is a defect, and keeps its traceback."""
    program = PRINT.format(lines=1, then="raise BrokenPipeError(32, 'a worker is gone')")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=clean_environment(), cwd=tmp_path
    )
    assert b"a worker is gone" in done.stderr
    assert b"Traceback" in done.stderr
    assert done.returncode == 1
