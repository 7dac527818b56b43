"""The metrics against values worked out by hand and against the libraries that define them."""

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from rpmask.errors import RpmaskError, RunFailed
from rpmask.heads.metrics import compute, majority
from rpmask.tasks.glue import GLUE
from rpmask.tasks.metrics import (
    accuracy,
    f1,
    matthews_correlation,
    pearson,
    score,
    spearmanr,
)

# 2 true positives, 1 false positive, 1 false negative, 1 true negative.
PREDICTED = np.array([1, 1, 1, 0, 0])
TRUE = np.array([1, 1, 0, 1, 0])


def one_hot(classes: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width)[classes]  # (rows, width)


def test_by_hand() -> None:
    assert accuracy(PREDICTED, TRUE) == pytest.approx(3 / 5)
    assert f1(PREDICTED, TRUE) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert matthews_correlation(PREDICTED, TRUE) == pytest.approx((2 * 1 - 1 * 1) / 6)
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])
    assert pearson(x, y) == pytest.approx(5 / np.sqrt(2 * 14))
    assert spearmanr(x, y) == pytest.approx(1.0)
    assert spearmanr(x, -(y**3)) == pytest.approx(-1.0)


def test_f1_is_of_class_one() -> None:
    assert f1(1 - PREDICTED, 1 - TRUE) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))


@pytest.mark.parametrize("constant", [0, 1])
def test_constant_predictions_are_defined_and_quiet(constant: int) -> None:
    same = np.full(5, constant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matthews_correlation(same, TRUE) == 0
        assert f1(same, TRUE) == pytest.approx(constant * 2 * 3 / (2 * 3 + 2))
        assert f1(same, same) == constant
        assert pearson(same, TRUE) == spearmanr(same, TRUE) == 0
        assert pearson(TRUE, same * 0.1) == spearmanr(TRUE, same * 0.1) == 0
        assert matthews_correlation(same, same) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40))
def test_classes_against_counting(pairs: list[tuple[int, int]]) -> None:
    predicted, true = np.array(pairs).T
    tp, fp, fn, tn = (
        int(np.sum((predicted == p) & (true == t))) for p, t in ((1, 1), (1, 0), (0, 1), (0, 0))
    )
    assert accuracy(predicted, true) == pytest.approx((tp + tn) / len(pairs))
    assert f1(predicted, true) == pytest.approx(2 * tp / max(1, 2 * tp + fp + fn))
    below = np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    expected = (tp * tn - fp * fn) / below if below else 0.0
    assert matthews_correlation(predicted, true) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=40))
def test_numbers_against_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert pearson(x, y) == spearmanr(x, y) == 0
        return
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearmanr(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("cola", {"matthews_correlation": 1 / 6}),
        ("sst2", {"accuracy": 0.6}),
        ("mrpc", {"accuracy": 0.6, "f1": 2 / 3, "combined": (0.6 + 2 / 3) / 2}),
        ("qqp", {"accuracy": 0.6, "f1": 2 / 3, "combined": (0.6 + 2 / 3) / 2}),
        ("qnli", {"accuracy": 0.6}),
        ("rte", {"accuracy": 0.6}),
        ("wnli", {"accuracy": 0.6}),
    ],
)
def test_what_each_task_reports(task: str, expected: dict[str, float]) -> None:
    logits = one_hot(PREDICTED, 2).astype(np.float16)
    assert compute(GLUE[task].spec, logits, TRUE) == pytest.approx(expected)


def test_three_classes() -> None:
    predicted, true = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    assert compute(GLUE["mnli"].spec, one_hot(predicted, 3), true) == {"accuracy": 0.75}
    expected = sklearn.metrics.matthews_corrcoef(true, predicted)
    assert matthews_correlation(predicted, true) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_regression(shape: tuple[int, ...]) -> None:
    predicted, true = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0.5, 3.0, 2.5, 5.0])
    values = compute(GLUE["stsb"].spec, predicted.reshape(shape), true)
    linear = scipy.stats.pearsonr(predicted, true).statistic
    ranks = scipy.stats.spearmanr(predicted, true).statistic
    expected = {"pearson": linear, "spearmanr": ranks, "combined": (linear + ranks) / 2}
    assert values == pytest.approx(expected)


def test_majority_is_the_constant_classifier() -> None:
    assert majority(GLUE["rte"].spec, [0, 0, 1]) == {"accuracy": pytest.approx(2 / 3)}
    assert majority(GLUE["cola"].spec, TRUE) == {"matthews_correlation": 0}
    assert majority(GLUE["mrpc"].spec, TRUE) == pytest.approx(
        {"accuracy": 0.6, "f1": 0.75, "combined": 0.675}
    )
    assert majority(GLUE["stsb"].spec, [1.0, 2.5]) == dict.fromkeys(
        ("pearson", "spearmanr", "combined"), 0.0
    )


def test_what_cannot_be_scored() -> None:
    spec = GLUE["rte"].spec
    logits = one_hot(PREDICTED, 2)
    with pytest.raises(RpmaskError, match=r"shape \(5, 3\) do not fit task 'rte'"):
        compute(spec, one_hot(PREDICTED, 3), TRUE)
    with pytest.raises(RpmaskError, match="5 predictions for 4 labels"):
        compute(spec, logits, TRUE[:4])
    with pytest.raises(RpmaskError, match="no rows to score task 'rte'"):
        score(spec, np.array([]), np.array([]))
    logits[1, 0] = np.nan
    with pytest.raises(RunFailed, match="not finite for 1 of 5 rows"):
        compute(spec, logits, TRUE)
