"""An experiment is created by its first run, and not by reading it."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from commands import rpmask
from mlflow import MlflowClient
from test_points import KEY

from rpmask.errors import RpmaskError
from rpmask.tracking.facts import finished_steps
from rpmask.tracking.open_run import open_run
from rpmask.tracking.tracker import KIND, Tracker


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", "new", folder=tmp_path / ".rpmask")


def names(client: MlflowClient) -> set[str]:
    return {experiment.name for experiment in client.search_experiments()}


def test_looking_makes_none(tracker: Tracker) -> None:
    assert tracker.find(step="sample") == []
    assert finished_steps(tracker, None) == {}
    with pytest.raises(RpmaskError, match="no finished `sample`"):
        tracker.latest("sample", "demo")
    assert tracker.experiment == "new"
    assert names(tracker.client) == {"Default"}


def test_the_first_run_makes_it_with_its_description(tracker: Tracker) -> None:
    with open_run(tracker, KEY) as run:
        run.finish({}, "")
    found = tracker.client.get_experiment_by_name("new")
    assert KIND in found.tags
    assert tracker.experiment_id == found.experiment_id
    assert [one.info.run_id for one in tracker.find(key=KEY.key)] == [run.run_id]


@pytest.mark.parametrize(
    "command",
    [
        "report",
        "screen",
        "select",
        "predict models:/rpmask-none@champion --input rows.txt",
        "mask show 0123456789abcdef0123456789abcdef",
        "mask diff 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef",
        "mask verify 0123456789abcdef0123456789abcdef#0",
        "export models:/rpmask-none@champion",
        "bench models:/rpmask-none@champion",
    ],
)
def test_verbs_that_find_nothing_leave_nothing(
    command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "looking"
    folder.mkdir(exist_ok=True)
    (folder / "rows.txt").write_text("a text\n")
    done = rpmask([*command.split(), "--experiment", "NEW", "--json"], folder)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["error"]
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    assert names(MlflowClient()) == {"Default"}


def test_processes_that_start_together_create_it_once(tracker: Tracker, tmp_path: Path) -> None:
    beside = Tracker(tracker.uri, "new", folder=tmp_path / ".rpmask")
    ask = tracker.client.get_experiment_by_name

    def asked_first(name: str) -> object:
        found = ask(name)
        assert beside.experiment_id  # between this process's look and its creation
        return found

    tracker.client.get_experiment_by_name = asked_first  # type: ignore[method-assign]
    assert tracker.experiment_id == beside.experiment_id
    assert KIND in ask("new").tags


@pytest.mark.parametrize("name", ["x" * 501, "deleted"])
def test_a_name_that_mlflow_refuses_is_the_users_mistake(tmp_path: Path, name: str) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", name, folder=tmp_path / ".rpmask")
    tracker.client.delete_experiment(tracker.client.create_experiment("deleted"))
    with pytest.raises(RpmaskError, match="MLflow refuses the experiment") as refused:
        _ = tracker.experiment_id
    assert refused.value.exit_code == 2
