"""Points that a killed run did not send are sent once, when the run continues."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from rpmask.tracking.children import log_child
from rpmask.tracking.open_run import open_run
from rpmask.tracking.step import Step
from rpmask.tracking.tracker import Tracker

KEY = Step(
    name="finetune",
    title="one",
    task="demo",
    level=1,
    sparsity=0.9,
    inputs={},
    decides={},
    params={},
    key="0" * 64,
)


def test_what_was_buffered_at_a_kill_is_logged_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = Tracker(uri, "points", folder=tmp_path / ".rpmask")
    with open_run(tracker, KEY) as killed:
        killed.metric("loss", 0.5, 1)
        killed.flush()
        killed.metric("loss", 0.4, 2)
        killed.metric("loss", float("nan"), 3)
        (file,) = killed.work.glob("points-*")
        # The kill came in the middle of a line.
        file.write_text(file.read_text() + '["loss", 0.')
    with open_run(tracker, KEY) as again:
        assert again.run_id == killed.run_id
        again.metric("loss", 0.4, 2)
        again.metric("loss", 0.3, 4)
        again.finish({}, "done")
    history = MlflowClient(uri).get_metric_history(again.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
    assert [point.value for point in history if point.step != 3] == [0.5, 0.4, 0.3]


def test_a_child_that_was_made_but_not_filled_is_filled(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = Tracker(uri, "children", folder=tmp_path / ".rpmask")
    with open_run(tracker, KEY) as run:
        name = "candidate 0"
        points = [("loss", 0.5, 1), ("loss", 0.4, 2)]
        empty = log_child(run, 0, name, params={}, tags={}, metrics=[], known=None)
        filled = log_child(run, 0, name, params={}, tags={}, metrics=points, known=empty)
        again = log_child(run, 0, name, params={}, tags={}, metrics=points[:1], known=filled)
    history = MlflowClient(uri).get_metric_history(again, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.4)]
