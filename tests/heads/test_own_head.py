"""A head from outside the package: registered with one line, it trains, is evaluated and scored in a race."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.heads.classification import CLASSIFICATION, Classes
from rpmask.heads.head import Units
from rpmask.heads.registry import HEADS, head_of
from rpmask.randomized_masks.race_score import Evaluator
from rpmask.train.evaluate import evaluate
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train


class Ordered(Classes):
    """Classes in an order: a mistake costs more, the further it is off."""

    metrics = ("accuracy",)

    def losses(self, units: Units) -> torch.Tensor:
        places = torch.arange(units.logits.shape[-1], device=units.logits.device)
        expected = (units.logits.softmax(-1) * places).sum(-1)
        return F.l1_loss(expected, units.targets.float(), reduction="none")


ORDERED = replace(CLASSIFICATION, name="ordered", answers=Ordered())
TASK = replace(TOY_TASK, kind="ordered", labels=("low", "middle", "high"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, ORDERED.name, ORDERED)


def test_its_loss_is_the_one_that_counts() -> None:
    assert head_of(TASK) is ORDERED
    model, rows = tiny_bert(labels=3), toy_rows(20)
    found = evaluate(model, rows, TASK)
    shares = torch.from_numpy(found.logits).softmax(-1).numpy()
    expected = np.abs(shares @ np.arange(3) - rows.labels)
    np.testing.assert_allclose(found.losses, expected, atol=1e-6)
    score = Evaluator(TASK, rows, model)(model)
    assert score.distances is not None
    np.testing.assert_allclose(score.distances, 0, atol=1e-3)


def test_it_trains(tmp_path: Path) -> None:
    model, rows = tiny_bert(labels=3), toy_rows(64)
    before = evaluate(model, rows, TASK).loss
    plan = TrainPlan(epochs=4, batch_size=8, learning_rate=3e-3, distill=LABELS_ONLY, threads=1)
    train(model, None, None, rows, rows, TASK, plan, tmp_path, Silent())
    assert evaluate(model, rows, TASK).loss < before
