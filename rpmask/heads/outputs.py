"""A model's outputs: one tensor of logits, its checks, and means over the units of an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError, RunFailed
from rpmask.heads.head import Array
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


IMPOSSIBLE = -1e9  # the logit of a class that a unit does not have, such as a token beyond its text


def logits_of(outputs: Any) -> torch.Tensor:
    """What a model answers, as one tensor: the two ends of a span are its last axis."""
    found: torch.Tensor | None = getattr(outputs, "logits", None)
    if found is None:
        import torch

        found = torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
    return found


def stacked(parts: Sequence[Array]) -> Array:
    """The logits of several batches, (units, classes); classes that a batch lacks are impossible in it."""
    width = max(part.shape[1] for part in parts)
    fill = [((0, 0), (0, width - part.shape[1])) for part in parts]
    return np.concatenate(
        [
            np.pad(part, pad, constant_values=IMPOSSIBLE)
            for part, pad in zip(parts, fill, strict=True)
        ]
    )


def checked(spec: TaskSpec, logits: Array, unit: str = "row") -> Array:
    """The logits, (units, outputs), if they fit the task and are finite."""
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] != spec.outputs:
        raise RpmaskError(
            f"Outputs of shape {logits.shape} do not fit task '{spec.name}'.",
            f"It needs {spec.outputs} output(s) per {unit}; load a model with such a head.",
        )
    check_finite(logits, unit)
    return logits


def check_finite(logits: Array, unit: str) -> None:
    """RunFailed if the logits of a unit, (units, outputs), are not finite."""
    broken = int(np.sum(~np.isfinite(logits).all(axis=1)))
    if broken:
        raise RunFailed(
            f"The model's outputs are not finite for {broken} of {len(logits)} {unit}s.",
            "Training diverged: lower the learning rate, or train in fp32.",
        )


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
