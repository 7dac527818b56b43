"""Give the nursery its orders: a command, the folder it runs in, and the moment that ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import clean_environment

PATIENCE = 300  # seconds after which a command hangs; it ends with SIGALRM then


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; events is None if it was killed.

    seconds is what it took, and since the signal those of them after one that it outlived.
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


class Nursery:
    """Runs commands one after the other, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], reports: Path) -> None:
        self._process, self._reports = process, reports

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        moment: int | None = None,
        fraction: float = 0.0,
        number: int = signal.SIGKILL,
        env: Mapping[str, str] | None = None,
        clock: float = 0.0,
    ) -> Ended:
        """The command with --json; it gets the signal at its moment, if it lives so long.

        Its clock is wrong by `clock` seconds.
        """
        report = self._reports / "events"
        order = {
            "arguments": [*arguments, "--json"],
            "folder": str(folder),
            "report": str(report),
            "moment": moment,
            "fraction": fraction,
            "signal": int(number),
            "env": dict(env or {}),
            "patience": PATIENCE,
            "clock": clock,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        begun = time.monotonic()
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())["code"]
        seconds = time.monotonic() - begun
        counted = json.loads(report.read_text()) if report.exists() else {}
        return Ended(
            code=code,
            stdout=report.with_suffix(".stdout").read_text(),
            stderr=report.with_suffix(".stderr").read_text(),
            events=counted.get("events"),
            seconds=seconds,
            since=counted.get("since"),
        )


@contextmanager
def nursery_in(reports: Path) -> Iterator[Nursery]:
    """A nursery that is ready for orders; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nursery.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # MLflow's telemetry is a thread, and a fork would lose it.
        env={**clean_environment(), "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "{}\n", "the nursery did not start"
        yield Nursery(process, reports)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)
