"""Two steps that log a new dataset at once both have it in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from datasets import Dataset
from mlflow import MlflowClient
from test_points import KEY

from rpmask.tracking.datasets import ATTEMPTS, log_datasets
from rpmask.tracking.open_run import open_run
from rpmask.tracking.tracker import Tracker

ROWS = {"train": Dataset.from_dict({"text": ["a", "b"], "label": [0, 1], "row": [0, 1]})}
LATE = "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name"


@pytest.mark.parametrize(
    ("said", "times", "holds"),
    [(LATE, 1, True), (LATE, ATTEMPTS, False), ("database or disk is full", 1, False)],
)
def test_the_one_that_came_too_late_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, times: int, holds: bool
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log, calls = MlflowClient.log_inputs, []

    def late(self: MlflowClient, *arguments: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) <= times:
            raise mlflow.exceptions.MlflowException(said)
        log(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_inputs", late)
    tracker = Tracker(uri, "datasets", folder=tmp_path / ".rpmask")
    with open_run(tracker, KEY) as run:
        if holds:
            log_datasets(run, "demo", "here", ROWS, {"train": "0" * 64})
        else:
            with pytest.raises(mlflow.exceptions.MlflowException, match=said[:10].strip("(")):
                log_datasets(run, "demo", "here", ROWS, {"train": "0" * 64})
    inputs = MlflowClient(uri).get_run(run.run_id).inputs.dataset_inputs
    assert [one.dataset.name for one in inputs] == ["demo-train"] * holds
    assert len(calls) == (times + 1 if holds else times)
