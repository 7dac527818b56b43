"""A task's metrics as `evaluate.Metric` objects, which compute every reported dev metric; no hub is needed.

Races and evaluations during a training call the plain functions of metrics.py, and so do these. Import this
module where a report is made: `evaluate` takes up to five seconds to import.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from rpmask.tasks.metrics import Array, answers, score
from rpmask.tasks.registry import get_spec
from rpmask.tasks.spec import TaskSpec


class TaskMetric(evaluate.Metric):
    """A task's metrics of predicted classes, or of predicted numbers for regression."""

    def __init__(self, spec: TaskSpec, **options: Any) -> None:
        self.spec = spec
        super().__init__(config_name=spec.name, **options)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64" if self.spec.kind == "classification" else "float64")
        return evaluate.MetricInfo(
            description=f"{self.spec.title} Scored by {', '.join(self.spec.metrics)}.",
            citation="",
            inputs_description="predictions and references: class indices, or numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _build_data_dir(self) -> str:
        """Where values are kept that do not stay in memory: else no folder is made in the user's cache."""
        if self.keep_in_memory:
            return ""
        return str(super()._build_data_dir())

    def _compute(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> dict[str, float]:
        return score(self.spec, np.asarray(predictions), np.asarray(references))


def load_metric(task: str | TaskSpec) -> TaskMetric:
    """The metric of a known task's name, or of a spec; nothing is downloaded or written."""
    spec = get_spec(task) if isinstance(task, str) else task
    return TaskMetric(spec, keep_in_memory=True)


def report(spec: TaskSpec, logits: Array, labels: Array) -> dict[str, float]:
    """The task's metrics of a model's outputs, as they are reported."""
    return report_answers(spec, *answers(spec, logits, labels))


def report_answers(spec: TaskSpec, predictions: Array, references: Array) -> dict[str, float]:
    """The task's metrics of predicted classes or numbers, as they are reported."""
    if len(references) == 0 or len(predictions) != len(references):
        return score(spec, predictions, references)  # says what is wrong
    found: dict[str, float] = load_metric(spec).compute(
        predictions=predictions, references=references
    )
    return found
