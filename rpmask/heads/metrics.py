"""A task's metrics of a model's outputs, whatever its head."""

from __future__ import annotations

import numpy as np

from rpmask.heads.head import Array
from rpmask.heads.registry import head_of
from rpmask.tasks.spec import TaskSpec


def compute(
    spec: TaskSpec, logits: Array, labels: Array, examples: Array | None = None
) -> dict[str, float]:
    """The metrics of a model's outputs, (units, outputs). Without examples, every row is one unit."""
    answers = head_of(spec).answers
    return answers.score(spec, *answers.predicted(spec, logits, labels, _rows(logits, examples)))


def report(
    spec: TaskSpec, logits: Array, labels: Array, examples: Array | None = None
) -> dict[str, float]:
    """The reported metrics of a model's outputs."""
    answers = head_of(spec).answers
    return answers.report(spec, *answers.predicted(spec, logits, labels, _rows(logits, examples)))


def majority(spec: TaskSpec, labels: Array) -> dict[str, float]:
    """The metrics of the best single answer: the most frequent class, or the mean of the labels."""
    answers = head_of(spec).answers
    predictions, references = answers.constant(spec, labels), labels
    return answers.score(spec, predictions, references)


def _rows(logits: Array, examples: Array | None) -> Array:
    return np.arange(len(logits)) if examples is None else examples
