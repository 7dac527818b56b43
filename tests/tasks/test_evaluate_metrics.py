"""The metrics as objects of the `evaluate` library, without a network."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import evaluate
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from commands import clean_environment

from rpmask.errors import RpmaskError
from rpmask.heads.metrics import compute, report
from rpmask.tasks.evaluate_metrics import TaskMetric
from rpmask.tasks.glue import GLUE
from rpmask.tasks.registry import TEXT_TASKS, get_spec
from rpmask.tasks.spec import TaskSpec

PREDICTED, TRUE = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))


def test_classification_in_one_go_and_in_batches() -> None:
    metric = TaskMetric(GLUE["mrpc"].spec)
    assert isinstance(metric, evaluate.Metric)
    accuracy = sklearn.metrics.accuracy_score(TRUE, PREDICTED)
    f1 = sklearn.metrics.f1_score(TRUE, PREDICTED)
    expected = {"accuracy": accuracy, "f1": f1, "combined": (accuracy + f1) / 2}
    assert metric.compute(predictions=PREDICTED, references=TRUE) == pytest.approx(expected)
    metric.add_batch(predictions=PREDICTED[:2], references=TRUE[:2])
    metric.add_batch(predictions=PREDICTED[2:], references=TRUE[2:])
    assert metric.compute() == pytest.approx(expected)


def test_regression() -> None:
    x, y = [0.1, 2.5, 4.75], [0.0, 3.0, 2.0]
    values = TaskMetric(GLUE["stsb"].spec).compute(predictions=x, references=y)
    assert values["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert values["spearmanr"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


def test_every_task_has_one_and_specs_do() -> None:
    for name in TEXT_TASKS:
        metric = TaskMetric(get_spec(name))
        assert metric.spec.primary in metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    spec = TaskSpec("own", "t", "classification", ("a", "b"), False, ("accuracy",), "accuracy")
    assert TaskMetric(spec).compute(predictions=[0, 0], references=[0, 1]) == {"accuracy": 0.5}


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_a_report_has_the_values_of_the_plain_functions(task: str) -> None:
    spec, random = get_spec(task), np.random.default_rng(0)
    logits = random.normal(size=(97, spec.outputs)).astype(np.float32)
    labels = random.integers(0, max(2, len(spec.labels)), 97)
    if spec.kind == "regression":
        labels = random.normal(size=97).astype(np.float32)
    assert report(spec, logits, labels) == compute(spec, logits, labels)  # to the last digit


def test_a_report_is_computed_by_the_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(self: TaskMetric, predictions: object, references: object) -> dict[str, float]:
        return {"accuracy": 7.0}

    monkeypatch.setattr(TaskMetric, "_compute", made_up)
    assert report(GLUE["rte"].spec, np.zeros((3, 2)), np.zeros(3)) == {"accuracy": 7.0}


def test_what_cannot_be_reported() -> None:
    spec = GLUE["rte"].spec
    with pytest.raises(RpmaskError, match="no rows to score"):
        report(spec, np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(RpmaskError, match="3 predictions for 2 labels"):
        report(spec, np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(RpmaskError, match="do not fit"):
        report(spec, np.zeros((3, 3)), np.zeros(3))


def test_nothing_is_written_and_a_name_is_no_path(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes a folder for every metric in its cache, which may not be writable."""
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: pytest.fail("made a folder"))
    spec = replace(GLUE["rte"].spec, name="../it's")
    assert report(spec, np.eye(2), np.array([0, 1])) == {"accuracy": 1.0}


def test_the_library_is_not_loaded_before_a_report_is_made() -> None:
    code = (
        "import sys, rpmask.cli, rpmask.steps.finetune, rpmask.steps.jackpot, rpmask.steps.predict\n"
        "print('evaluate' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "False\n"
