"""The metrics of a trained model and of the dense model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.heads.splits import Encoded
from rpmask.records import DataChoice
from rpmask.results import FinetuneResult
from rpmask.steps.finetune_result import answer_charts, describe, measure
from rpmask.steps.resolve import Resolved
from rpmask.tasks.evaluate_metrics import TaskMetric
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.squad import SQUAD
from rpmask.train.evaluate import evaluate
from rpmask.train.trainer import Trained

FOUND = Resolved("toy", "toy", "toy", level=1, sparsity=0.9, data=DataChoice())
TRAINED = Trained(steps=1, best_step=1, nonzero=1, seconds=1.0)
SCALE = replace(TOY_TASK, kind="regression", labels=(), metrics=("pearson",), primary="pearson")


def reported(
    model: nn.Module, teacher: nn.Module | None, spec: TaskSpec = TOY_TASK
) -> tuple[FinetuneResult, dict[str, Encoded]]:
    """Of two dev splits."""
    splits = {"matched": toy_rows(40, seed=1), "other": toy_rows(30, seed=2)}
    chosen_on = toy_rows(20, seed=3)
    prepared: Any = SimpleNamespace(spec=spec, dev=lambda: splits, selection=chosen_on)
    return measure(FOUND, prepared, TRAINED, model, teacher, "run")[0], splits


@pytest.fixture
def teacher() -> nn.Module:
    """A model that answers otherwise than `tiny_bert`, and not always the same."""
    other, random = tiny_bert(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random))
    return other.eval()


def test_agreement_is_of_the_first_split(teacher: nn.Module) -> None:
    model = tiny_bert().eval()
    found, splits = reported(model, teacher)
    said = {
        name: [evaluate(one, split, TOY_TASK).logits.argmax(1) for one in (model, teacher)]
        for name, split in splits.items()
    }
    shares = {name: float(np.mean(mine == other)) for name, (mine, other) in said.items()}
    assert shares["matched"] != shares["other"]
    assert found.agreement == shares["matched"]
    commonest = max(np.mean(said["matched"][1] == label) for label in (0, 1))
    assert found.agreement_majority == pytest.approx(commonest)


def test_a_model_agrees_with_itself() -> None:
    model = tiny_bert().eval()
    found, _ = reported(model, model)
    assert (found.agreement, found.dev) == (1.0, found.dense)
    assert found.selection == found.dense_selection != found.dev


def test_there_is_no_agreement_without_classes_or_another_model() -> None:
    scale = tiny_bert(labels=1).eval()
    for found in (reported(tiny_bert().eval(), None)[0], reported(scale, scale, SCALE)[0]):
        assert found.agreement is None
        assert found.agreement_majority is None
        assert "answered as by the dense model" not in describe(FOUND, found)


def test_dev_is_reported_by_the_metric_of_evaluate(
    teacher: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the values of the plain functions, of both models on both splits."""
    asked: list[str] = []
    compute = TaskMetric._compute

    def watched(self: TaskMetric, predictions: Any, references: Any) -> dict[str, float]:
        asked.append(self.spec.name)
        return compute(self, predictions, references)

    monkeypatch.setattr(TaskMetric, "_compute", watched)
    model = tiny_bert().eval()
    found, splits = reported(model, teacher)
    assert asked == ["toy"] * 4
    for network, values in ((model, found.dev), (teacher, found.dense)):
        plain = {name: evaluate(network, split, TOY_TASK).metrics for name, split in splits.items()}
        others = {f"other/{name}": value for name, value in plain["other"].items()}
        assert values == {**plain["matched"], **others}
    monkeypatch.setattr(TaskMetric, "_compute", lambda *_, **__: {"accuracy": 0.125})
    assert reported(model, teacher)[0].dev == {"accuracy": 0.125, "other/accuracy": 0.125}


def test_only_answers_that_are_classes_have_charts() -> None:
    """Of the places in a text none is the first or the second: those are no classes."""
    result: Any = SimpleNamespace(task="toy", sparsity=0.9)
    places = {"dev/logits": np.eye(4, 9), "dev/labels": np.array([3, 4, 5, 6])}
    assert answer_charts(SQUAD.spec, result, places) == []
    classes = {"dev/logits": np.eye(2)[[0, 1, 1]], "dev/labels": np.array([0, 1, 0])}
    drawn = answer_charts(TOY_TASK, result, classes)
    assert [chart.name for chart in drawn] == ["confusion", "curves"]
