"""System metrics of a step, on request only, and not among those of its model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from test_points import KEY

from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError
from rpmask.steps.context import Context
from rpmask.steps.frame import Done, run_step
from rpmask.tracking import monitoring
from rpmask.tracking.runs import StepRun


def logged(context: Context, client: MlflowClient, wait: bool) -> set[str]:
    """The names of the metrics of a step that lasts until the first system metrics are there."""

    def work(run: StepRun) -> Done:
        deadline = time.monotonic() + 60
        while wait and time.monotonic() < deadline:
            if monitoring.SYSTEM in str(client.get_run(run.run_id).data.metrics):
                break
            time.sleep(0.1)
        return Done({}, "")

    return set(client.get_run(run_step(KEY, context, work)["run_id"]).data.metrics)


def test_they_are_logged_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    context = Context(uri, "quiet", folder=tmp_path / ".rpmask")
    assert context.tracker.uri == uri
    client = MlflowClient(uri)
    assert logged(context, client, wait=False) == {"seconds"}
    context = Context(uri, "measured", folder=tmp_path / ".rpmask", system_metrics=True)
    found = logged(context, client, wait=True)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= found


def test_without_psutil_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "find_spec", lambda name: None)
    with pytest.raises(RpmaskError, match="needs the package psutil") as refused:
        Tracking(system_metrics=True).context()
    assert "rpmask[monitor]" in refused.value.hint
