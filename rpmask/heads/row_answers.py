"""What heads share whose rows are one unit each: the units, and GLUE's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.heads.head import Units
from rpmask.tasks.metrics import score
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


class RowAnswers:
    """The part of `Answers` that is the same where a row is one unit."""

    unit = "row"

    def units(self, outputs: Any, labels: torch.Tensor) -> Units:
        """Each row."""
        return Units(outputs.logits, labels)

    def score(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """GLUE's metrics."""
        return score(spec, np.asarray(predictions), np.asarray(references))

    def report(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The same through the `evaluate` library."""
        from rpmask.tasks.evaluate_metrics import report_answers

        return report_answers(spec, np.asarray(predictions), np.asarray(references))
