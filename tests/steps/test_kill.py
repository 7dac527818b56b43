"""SIGKILL in the middle of the road: the same command again ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, answer, clean_environment
from mlflow import MlflowClient
from test_road import what_matters

COMMAND = ["run", "--task", "demo", *SMALL]


def kill_after(seconds: float, folder: Path) -> bool:
    """Start the road and kill it; False if it was faster."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rpmask", *COMMAND],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_started_again(
    seed: int, road: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    moments = random.Random(seed)
    killed = [kill_after(moments.uniform(8, 25), tmp_path) for _ in range(2)]
    assert any(killed)
    again = answer(COMMAND, tmp_path)
    assert what_matters(again) == what_matters(road[1])
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("rpmask")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        for name in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert len(steps) == len(set(steps)), (run.info.run_name, name)
    versions = client.search_model_versions("name = 'rpmask-demo'")
    owners = [version.run_id for version in versions]
    assert len(owners) == len(set(owners))
    assert set(owners) <= {run.info.run_id for run in runs}
