"""Report a task's metrics through the `evaluate` library, without a network.

Races and evaluations during a training call the plain functions of metrics.py, and so does this metric.
Import this module only to make a report: `evaluate` takes up to five seconds to import.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from rpmask.tasks.metrics import Array, score
from rpmask.tasks.spec import TaskSpec


class TaskMetric(evaluate.Metric):
    """A task's metrics of predicted classes, or of predicted numbers for regression."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        super().__init__(config_name=spec.name, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64" if self.spec.labels else "float64")
        return evaluate.MetricInfo(
            description=f"{self.spec.title} Scored by {', '.join(self.spec.metrics)}.",
            citation="",
            inputs_description="predictions and references: class indices, or numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _build_data_dir(self) -> str:
        """No folder: values stay in memory, and the library would create one in the user's cache."""
        return ""

    def _compute(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> dict[str, float]:
        return score(self.spec, np.asarray(predictions), np.asarray(references))


def report_answers(spec: TaskSpec, predictions: Array, references: Array) -> dict[str, float]:
    """The reported metrics of predicted classes or numbers."""
    if len(references) == 0 or len(predictions) != len(references):
        return score(spec, predictions, references)  # raises our own message
    found: dict[str, float] = TaskMetric(spec).compute(
        predictions=predictions, references=references
    )
    return found
