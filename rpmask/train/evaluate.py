"""Evaluate a model on a split: logits, per-example losses and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.heads.metrics import compute
from rpmask.heads.outputs import example_means
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on a split, in the order of its rows. examples is the row of each unit."""

    losses: np.ndarray  # (rows,)
    logits: np.ndarray  # (units, classes)
    targets: np.ndarray  # (units,)
    examples: np.ndarray  # (units,)
    metrics: dict[str, float]

    @property
    def several_units(self) -> bool:
        """Whether a row has more answers than one."""
        return len(self.logits) != len(self.losses)

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())


@torch.no_grad()
def evaluate(model: nn.Module, data: Split, spec: TaskSpec, batch_size: int = 64) -> Evaluation:
    """Run the model over a split in the order of length, so that little is padded."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    order = np.argsort(data.lengths, kind="stable")
    answers = head_of(spec).answers
    logits, targets, examples = [], [], []  # of the units of every batch
    losses = np.empty(len(data), dtype=np.float64)
    for start in range(0, len(data), batch_size):
        rows = order[start : start + batch_size]
        batch = {name: value.to(device) for name, value in data.batch(rows).items()}
        labels = batch.pop("labels")
        units = answers.units(model(**batch), labels)
        logits.append(units.logits.float().cpu().numpy())
        targets.append(units.targets.cpu().numpy())
        examples.append(rows if units.examples is None else rows[units.examples.cpu().numpy()])
        means = example_means(answers.losses(units), units.examples, len(rows))
        losses[rows] = means.double().cpu().numpy()
    model.train(was_training)
    owners = np.concatenate(examples)
    by_row = np.argsort(owners, kind="stable")
    owners, found = owners[by_row], np.concatenate(logits)[by_row]
    return Evaluation(
        losses,
        found,
        np.concatenate(targets)[by_row],
        owners,
        compute(spec, found, data.labels, owners),
    )


def metrics_of(spec: TaskSpec, output: Any) -> dict[str, float]:
    """The metrics of what a Trainer gathered: logits and label ids, padded to one shape, in its own order.

    Units that no input reached, such as words beyond the longest input, are not counted.
    """
    given = SimpleNamespace(logits=torch.from_numpy(output.predictions))
    units = head_of(spec).answers.units(given, torch.from_numpy(output.label_ids))
    if units.examples is None:
        return compute(spec, units.logits.numpy(), output.label_ids)
    examples = units.examples.numpy()
    labels = np.empty(len(output.label_ids), dtype=object)
    starts = np.searchsorted(examples, np.arange(1, len(labels)))
    labels[:] = np.split(units.targets.numpy(), starts)
    return compute(spec, units.logits.numpy(), labels, examples)
