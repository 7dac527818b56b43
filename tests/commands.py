"""Run rpmask as a user does: a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# A road short enough for a test: few rows, few steps, all of the machinery.
SMALL = [
    *("--levels", "0.8,0.9375", "--k", "4", "--train-rows", "256", "--selection-rows", "100"),
    *("--examples", "80", "--epochs", "1", "--level-epochs", "1", "--threads", "1"),
    *(
        "--retain",
        "0.2",
    ),  # a model this little trained retains little, and is champion all the same
]


def clean_environment() -> dict[str, str]:
    """Ours, without the tracking address that MLflow exports once it was used in this process."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**mine, "OMP_NUM_THREADS": "1"}


def rpmask(
    arguments: list[str], folder: Path, env: dict[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """The command's outcome, whatever it is."""
    return subprocess.run(
        [sys.executable, "-m", "rpmask", *arguments],
        cwd=folder,
        env={**clean_environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def answer(arguments: list[str], folder: Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    """What a command that must succeed prints with --json."""
    done = rpmask([*arguments, "--json"], folder, env)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert len(done.stdout.splitlines()) == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def what_matters(result: dict[str, Any]) -> list[Any]:
    """What two walks of the same road must have in common."""
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
