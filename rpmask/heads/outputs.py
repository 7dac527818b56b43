"""Checks of a model's outputs, and means over the units of an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rpmask.errors import RpmaskError, RunFailed
from rpmask.heads.head import Array
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


def checked(spec: TaskSpec, logits: Array, unit: str = "row") -> Array:
    """The logits, (units, outputs), if they fit the task and are finite."""
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] != spec.outputs:
        raise RpmaskError(
            f"Outputs of shape {logits.shape} do not fit task '{spec.name}'.",
            f"It needs {spec.outputs} output(s) per {unit}; load a model with such a head.",
        )
    broken = int(np.sum(~np.isfinite(logits).all(axis=1)))
    if broken:
        raise RunFailed(
            f"The model's outputs are not finite for {broken} of {len(logits)} {unit}s.",
            "Training diverged: lower the learning rate, or train in fp32.",
        )
    return logits


def mean_by_example(values: Array, examples: Array, rows: int) -> Array:
    """The mean of every row's units: (rows,). A row without units has none, and counts as 0."""
    sums = np.bincount(examples, weights=values, minlength=rows)
    found: Array = sums / np.maximum(1, np.bincount(examples, minlength=rows))
    return found


def example_means(values: torch.Tensor, examples: torch.Tensor | None, rows: int) -> torch.Tensor:
    """The same for tensors; without examples, every row is one unit."""
    if examples is None:
        return values
    counts = values.new_zeros(rows).index_add(0, examples, values.new_ones(len(values)))
    return values.new_zeros(rows).index_add(0, examples, values) / counts.clamp(min=1)
