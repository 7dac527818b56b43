"""The metrics that choose a checkpoint are those of the rows, although the Trainer sorts them by length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy import TOY_TASK, VOCABULARY, tiny_bert, toy_rows

from rpmask.heads.splits import Encoded
from rpmask.tasks.spec import TaskSpec
from rpmask.train.evaluate import evaluate
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train

TAGGING = TaskSpec(
    "toy", "toy", "tokens", ("O", "B-X"), False, ("entity_f1", "accuracy"), "entity_f1"
)
PLAN = TrainPlan(
    epochs=1, batch_size=8, evaluations=1, learning_rate=1e-3, distill=LABELS_ONLY, threads=1
)


class Seen(Silent):
    def __init__(self) -> None:
        self.curves: dict[str, float] = {}

    def metric(self, name: str, value: float, step: int) -> None:
        self.curves[name] = value


def tagged(count: int, seed: int) -> Encoded:
    """Every second token begins a word, which is an entity if it is above ten."""
    rows = toy_rows(count, seed)
    labels = np.empty(count, dtype=object)
    features = []
    for i, row in enumerate(rows.features):
        ids = np.array(row["input_ids"])
        tags = np.where(np.arange(len(ids)) % 2 == 0, ids > VOCABULARY // 2, -100).astype(int)
        labels[i] = tags[::2]
        features.append({**row, "labels": tags.tolist()})
    return Encoded(features, labels, {**rows.pad, "labels": -100})


@pytest.mark.parametrize("task", [TOY_TASK, TAGGING], ids=["classes", "tags"])
def test_checkpoints_are_judged_by_their_metrics(tmp_path: Path, task: TaskSpec) -> None:
    rows = toy_rows if task is TOY_TASK else tagged
    model = tiny_bert()
    if task is TAGGING:
        from transformers import BertForTokenClassification

        model = BertForTokenClassification(model.config)
    seen, selection = Seen(), rows(150, 1)
    train(model, None, None, rows(160, 0), selection, task, PLAN, tmp_path, seen)
    expected = evaluate(model, selection, task).metrics
    found = {name: seen.curves[f"selection/{name}"] for name in task.metrics}
    assert found == pytest.approx(expected)
    assert 0.2 < expected[task.primary] < 1.0  # neither a guess nor trivial
