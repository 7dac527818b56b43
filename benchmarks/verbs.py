"""rpmask's verbs as they are typed, for benchmarks of several commands."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any


def answer(command: list[str], store: Path) -> dict[str, Any]:
    """What an rpmask command says with --json, run in the store's folder."""
    print(shlex.join(command), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", *command, "--json"],
        cwd=store,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
