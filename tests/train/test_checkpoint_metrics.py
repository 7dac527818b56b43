"""The metrics that choose a checkpoint are those of the rows, although the Trainer sorts them by length."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.train.evaluate import evaluate
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train

PLAN = TrainPlan(
    epochs=1, batch_size=8, evaluations=1, learning_rate=1e-3, distill=LABELS_ONLY, threads=1
)


class Seen(Silent):
    def __init__(self) -> None:
        self.curves: dict[str, float] = {}

    def metric(self, name: str, value: float, step: int) -> None:
        self.curves[name] = value


def test_checkpoints_are_judged_by_their_metrics(tmp_path: Path) -> None:
    model, seen, selection = tiny_bert(), Seen(), toy_rows(150, 1)
    train(model, None, None, toy_rows(160), selection, TOY_TASK, PLAN, tmp_path, seen)
    expected = evaluate(model, selection, TOY_TASK).metrics["accuracy"]
    assert seen.curves["selection/accuracy"] == pytest.approx(expected)
    assert 0.6 < expected < 1.0  # neither a guess nor trivial
