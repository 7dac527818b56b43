"""What candidates of a race are compared on: the same held-out rows, one loss and one distance a row.

A candidate's score is the mean, row by row, of its last evaluations: of one by default, of ten in the
randomized-mask paper's early evaluation. A mean of several is less of a moment's luck than the last weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rpmask.randomized_masks.confidence import settled_distances, settled_losses
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import Split
from rpmask.train.evaluate import evaluate


@dataclass(frozen=True)
class Compared:
    """One evaluation, or the mean of several. losses are of the labels, distances from a dense model."""

    losses: np.ndarray  # (held-out rows,)
    metric: float
    distances: np.ndarray | None = None  # (held-out rows,)


class Comparison:
    """Evaluates candidates on the held-out rows, and beside a dense model if there is one."""

    def __init__(self, task: TaskSpec, held_out: Split, dense: nn.Module | None) -> None:
        self._task, self._held_out = task, held_out
        self._answers = None if dense is None else evaluate(dense, held_out, task).logits

    def of(self, model: nn.Module) -> Compared:
        """The losses and distances of a model, at the confidence that suits it."""
        found = evaluate(model, self._held_out, self._task)
        losses, distances = found.losses, None
        if self._task.kind == "regression":
            if self._answers is not None:
                distances = np.square(found.logits - self._answers).mean(axis=1)
        else:
            losses = settled_losses(found.logits, np.asarray(self._held_out.labels))
            if self._answers is not None:
                distances = settled_distances(found.logits, self._answers)
        return Compared(losses, found.metrics[self._task.primary], distances)

    def broken(self) -> Compared:
        """Of a model that gives no finite answer."""
        nothing = np.full(len(self._held_out), np.nan)
        return Compared(nothing, np.nan, None if self._answers is None else nothing)


def mean_of(evaluations: Sequence[Compared]) -> Compared:
    """The mean of evaluations of one candidate, row by row."""
    distances = [one.distances for one in evaluations if one.distances is not None]
    return Compared(
        np.mean([one.losses for one in evaluations], axis=0),
        float(np.mean([one.metric for one in evaluations])),
        np.mean(distances, axis=0) if distances else None,
    )


def as_tensors(evaluations: Sequence[Compared]) -> dict[str, torch.Tensor]:
    """Evaluations as the state of a candidate keeps them; none are nothing."""
    tensors = {}
    for number, one in enumerate(evaluations):
        tensors[f"{number}/losses"] = torch.from_numpy(one.losses)
        tensors[f"{number}/metric"] = torch.tensor(one.metric, dtype=torch.float64)
        if one.distances is not None:
            tensors[f"{number}/distances"] = torch.from_numpy(one.distances)
    return tensors


def from_tensors(tensors: Mapping[str, torch.Tensor]) -> list[Compared]:
    """What `as_tensors` kept."""
    found: list[Compared] = []
    while (losses := tensors.get(f"{len(found)}/losses")) is not None:
        distances = tensors.get(f"{len(found)}/distances")
        found.append(
            Compared(
                losses.numpy(),
                float(tensors[f"{len(found)}/metric"]),
                None if distances is None else distances.numpy(),
            )
        )
    return found
