"""GLUE's metrics as plain functions of arrays.

Matthews' correlation, F1, Pearson's and Spearman's correlations are 0 where their denominator is 0,
because a constant says nothing about the labels. The libraries agree on the first two and return NaN
for the others, which would silently win or lose every comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rpmask.errors import RpmaskError
from rpmask.tasks.spec import TaskSpec

Array = npt.NDArray[Any]


def accuracy(predictions: Array, references: Array) -> float:
    """Share of correct predictions."""
    return float(np.mean(predictions == references))


def f1(predictions: Array, references: Array) -> float:
    """F1 of class 1 against class 0, as GLUE scores MRPC and QQP."""
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, pos_label=1, zero_division=0.0))


def matthews_correlation(predictions: Array, references: Array) -> float:
    """Correlation between predicted and true classes, 0 for a constant prediction."""
    from sklearn.metrics import matthews_corrcoef

    if _constant(predictions) or _constant(references):
        return 0.0
    return float(matthews_corrcoef(references, predictions))


def pearson(predictions: Array, references: Array) -> float:
    """Linear correlation, 0 if either side is constant."""
    if _constant(predictions) or _constant(references):
        return 0.0
    return float(np.corrcoef(predictions, references)[0, 1])


def spearmanr(predictions: Array, references: Array) -> float:
    """Correlation of the ranks, 0 if either side is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(predictions), rankdata(references))


def _constant(values: Array) -> bool:
    return bool(np.all(values == values[0]))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews_correlation": matthews_correlation,
    "pearson": pearson,
    "spearmanr": spearmanr,
}


def score(spec: TaskSpec, predictions: Array, references: Array) -> dict[str, float]:
    """The task's metrics of predicted classes or numbers; `combined` is the mean of the others."""
    if len(references) == 0:
        raise RpmaskError(
            f"There are no rows to score task '{spec.name}' on.", "The split must not be empty."
        )
    if len(predictions) != len(references):
        raise RpmaskError(
            f"There are {len(predictions)} predictions for {len(references)} labels.",
            "Score the predictions of the split the labels belong to.",
        )
    single = [name for name in spec.metrics if name != "combined"]
    values = {name: METRICS[name](predictions, references) for name in single}
    if "combined" in spec.metrics:
        values["combined"] = sum(values.values()) / len(values)
    return {name: values[name] for name in spec.metrics}
