"""The same metrics as `evaluate.Metric` objects, for code that expects those; no hub needed.

Import this module inside functions: `evaluate` takes five seconds to import.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from rpmask.tasks.metrics import score
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

    def _compute(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> dict[str, float]:
        return score(self.spec, np.asarray(predictions), np.asarray(references))


def load_metric(task: str | TaskSpec) -> TaskMetric:
    """The metric of a known task's name, or of a spec; nothing is downloaded or written."""
    spec = get_spec(task) if isinstance(task, str) else task
    return TaskMetric(spec, keep_in_memory=True)
