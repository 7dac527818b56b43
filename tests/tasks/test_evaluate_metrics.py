"""The metrics as objects of the `evaluate` library, without a network."""

import socket

import evaluate
import pytest
import scipy.stats
import sklearn.metrics

from rpmask.tasks.evaluate_metrics import load_metric
from rpmask.tasks.registry import task_names
from rpmask.tasks.spec import TaskSpec

PREDICTED, TRUE = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))


def test_classification_in_one_go_and_in_batches() -> None:
    metric = load_metric("mrpc")
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
    values = load_metric("stsb").compute(predictions=x, references=y)
    assert values["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert values["spearmanr"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


def test_every_task_has_one_and_specs_do() -> None:
    for name in task_names():
        metric = load_metric(name)
        assert metric.spec.primary in metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    spec = TaskSpec("own", "t", "classification", ("a", "b"), False, ("accuracy",), "accuracy")
    assert load_metric(spec).compute(predictions=[0, 0], references=[0, 1]) == {"accuracy": 0.5}
