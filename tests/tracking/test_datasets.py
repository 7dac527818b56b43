"""Datasets of runs: logged once by two steps at once, found by their metrics, and read again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from datasets import Dataset
from mlflow import MlflowClient
from test_points import KEY

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.inputs import log_data
from rpmask.tasks.registry import load_task
from rpmask.tracking.datasets import ATTEMPTS, log_datasets, split_of
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
            log_datasets(run, "demo", "here", DataChoice(), ROWS, {"train": "0" * 64})
        else:
            with pytest.raises(mlflow.exceptions.MlflowException, match=said[:10].strip("(")):
                log_datasets(run, "demo", "here", DataChoice(), ROWS, {"train": "0" * 64})
    inputs = MlflowClient(uri).get_run(run.run_id).inputs.dataset_inputs
    assert [one.dataset.name for one in inputs] == ["demo-train"] * holds
    assert len(calls) == (times + 1 if holds else times)


@pytest.mark.parametrize(
    ("metric", "split"),
    [
        ("dev/accuracy", "dev_matched"),
        ("dev/dev_mismatched/accuracy", "dev_mismatched"),
        ("dense/accuracy", "dev_matched"),
        ("on_selection/f1", "selection"),
        ("train/loss", "train"),
        ("retention", None),
        ("seconds", None),
    ],
)
def test_the_split_of_a_metric(metric: str, split: str | None) -> None:
    assert split_of(metric, ["train", "selection", "dev_mismatched", "dev_matched"]) == split


def test_a_metric_of_a_run_without_datasets_has_none() -> None:
    assert split_of("dev/accuracy", []) is None


LOAD = """
import sys, mlflow
from mlflow.data import get_source
run = mlflow.MlflowClient(sys.argv[1]).get_run(sys.argv[2])
for one in run.inputs.dataset_inputs:
    rows = get_source(one).load()
    print(one.dataset.name, len(rows), rows.features["label"].int2str(rows["label"][0]))
"""


def test_a_logged_dataset_is_loaded_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files were named by relative paths. MLflow finds the loader itself: nothing imports rpmask."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"text {index},{'yes' if index % 2 else 'no'}\n" for index in range(20))
    for name in ("train.csv", "dev.csv"):
        Path(name).write_text(f"text,label\n{rows}")
    choice = DataChoice(train="train.csv", dev="dev.csv", selection_rows=4)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = Tracker(uri, "datasets", folder=tmp_path / ".rpmask")
    with open_run(tracker, replace(KEY, task="own")) as run:
        log_data(run, load_task("own", choice), choice)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", LOAD, uri, run.run_id]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert found == {"own-train": "16", "own-selection": "4", "own-dev": "20"}
    assert {line.split()[2] for line in done.stdout.splitlines()} <= {"yes", "no"}
    Path("dev.csv").write_text(f"text,label\n{rows}another,yes\n")
    inputs = MlflowClient(uri).get_run(run.run_id).inputs.dataset_inputs
    dev = next(one for one in inputs if one.dataset.name == "own-dev")
    with pytest.raises(RpmaskError, match="not the ones that were logged"):
        mlflow.data.get_source(dev).load()
