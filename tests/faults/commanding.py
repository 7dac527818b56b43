"""Run a command that counts its events and receives a signal at one of them."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import Running

PATIENCE = 300  # seconds after which a command counts as hanging and ends with SIGALRM


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    code is the exit code, or minus the signal. events is None if the command was killed. seconds is its
    duration, and since the part of it after a signal that it outlived.
    """

    code: int
    stdout: str
    stderr: str
    events: int | None
    seconds: float
    since: float | None

    @property
    def answer(self) -> dict[str, Any]:
        """What a command that must have succeeded printed with --json."""
        assert self.code == 0, f"exit code {self.code}\n{self.stdout}\n{self.stderr}"
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    moment: int | None = None,
    fraction: float = 0.0,
    number: int = signal.SIGKILL,
    env: Mapping[str, str] | None = None,
    clock: float = 0.0,
    migrations: bool = False,
) -> Ended:
    """Run the command with --json; it gets the signal at its moment, if it lives that long.

    Its clock is wrong by `clock` seconds. With `migrations` it makes a database as MLflow does.
    """
    with tempfile.TemporaryDirectory() as reports:
        report = Path(reports) / "events"
        watched = [str(report), moment, fraction, int(number), clock, PATIENCE, migrations]
        begun = time.monotonic()
        done = Running(
            [*arguments, "--json"], folder, env, setup=("faults.progress", "watch", *watched)
        ).finish()
        seconds = time.monotonic() - begun
        counted = json.loads(report.read_text()) if report.exists() else {}
    return Ended(
        code=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        events=counted.get("events"),
        seconds=seconds,
        since=counted.get("since"),
    )
