"""The curves of a race: one per candidate, and twins of the control under a name of their own."""

from __future__ import annotations

from typing import Any, cast

from rpmask.records import Score
from rpmask.steps.context import Tee
from rpmask.train.observer import Observer


class Recorder(Observer):
    """Stands for the progress display and for the MLflow run."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def metric(self, name: str, value: float, step: int) -> None:
        self.metrics[name] = value


def test_twins_follow_the_candidates_and_are_numbered_from_one() -> None:
    run = Recorder()
    tee = Tee(Recorder(), cast("Any", run), candidates=3)
    for index in (0, 2, 3, 4):
        tee.rung(
            Score(
                candidate=index,
                rung=0,
                step=10,
                loss=float(index),
                metric=0.5,
                train_loss=0.5,
                distance=0.1,
            )
        )
    assert {name: value for name, value in run.metrics.items() if name.startswith("loss/")} == {
        "loss/candidate-0": 0.0,
        "loss/candidate-2": 2.0,
        "loss/twin-1": 3.0,
        "loss/twin-2": 4.0,
    }
    assert {"distance/candidate-2", "distance/twin-2"} <= set(run.metrics)
