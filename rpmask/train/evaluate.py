"""Evaluate a model on a split: per-example losses, answers, metrics, and the logits if they can be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.heads.head import Units
from rpmask.heads.metrics import compute, report
from rpmask.heads.outputs import mean_by_example, stacked
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.tasks.spec import TaskSpec
from rpmask.train.losses import example_losses


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on a split, in the order of its rows. examples is the example of each unit.

    likeliest is the class with the largest logit. logits are None where they are too many to keep.
    """

    losses: np.ndarray  # (examples,)
    likeliest: np.ndarray  # (units,)
    logits: np.ndarray | None  # (units, classes)
    targets: np.ndarray  # (units,)
    examples: np.ndarray  # (units,)
    metrics: dict[str, float]

    @property
    def several_units(self) -> bool:
        """Whether an example has more answers than one."""
        return len(self.targets) != len(self.losses)

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
    order = evaluation_order(data)
    answers = head_of(spec).answers
    batch_size = data.at_once(batch_size)
    logits, likeliest = [], []  # of the units of every batch
    targets, losses, places = [], [], []
    for start in range(0, len(data), batch_size):
        rows = order[start : start + batch_size]
        batch = {name: value.to(device) for name, value in data.batch(rows).items()}
        labels = batch.pop("labels")
        units = answers.units(model(**batch), labels)
        if answers.keeps_logits:
            logits.append(units.logits.float().cpu().numpy())
        likeliest.append(units.logits.argmax(dim=-1).cpu().numpy())
        targets.append(units.targets.cpu().numpy())
        losses.append(answers.losses(units).double().cpu().numpy())
        places.append(rows_of(units, rows))
    model.train(was_training)
    rows = np.concatenate(places)
    by_row = np.argsort(rows, kind="stable")
    owners, found = data.owners[rows[by_row]], stacked(logits)[by_row] if logits else None
    means = mean_by_example(np.concatenate(losses)[by_row], owners, len(data.labels))
    return Evaluation(
        means,
        np.concatenate(likeliest)[by_row],
        found,
        np.concatenate(targets)[by_row],
        owners,
        answers.score(spec, means, data.labels)
        if found is None
        else compute(spec, found, data.labels, owners),
    )


def reported(spec: TaskSpec, found: Evaluation, labels: np.ndarray) -> dict[str, float]:
    """The metrics of an evaluation for a report; labels are those of the examples."""
    if found.logits is None:
        return head_of(spec).answers.report(spec, found.losses, labels)
    return report(spec, found.logits, labels, found.examples)


def evaluation_order(data: Split) -> np.ndarray:
    """The rows in the order in which they are evaluated."""
    return np.argsort(data.lengths, kind="stable")


def rows_of(units: Units, rows: np.ndarray) -> np.ndarray:
    """The row of each unit of a batch of these rows."""
    return rows if units.examples is None else rows[units.examples.cpu().numpy()]


def condensed(spec: TaskSpec) -> Callable[[Any, Any], torch.Tensor] | None:
    """What a Trainer gathers instead of logits that are too many to keep: the loss of each row.

    None if it keeps them.
    """
    if head_of(spec).answers.keeps_logits:
        return None
    return lambda logits, labels: example_losses(spec, SimpleNamespace(logits=logits), labels)


def metrics_of(spec: TaskSpec, output: Any, data: Split) -> dict[str, float]:
    """The metrics of what a Trainer gathered in that order: logits and label ids, padded to one shape.

    Of a head that keeps no logits it gathered the losses of the rows (`condensed`).
    """
    answers = head_of(spec).answers
    if not answers.keeps_logits:
        order = evaluation_order(data)
        means = mean_by_example(output.predictions, data.owners[order], len(data.labels))
        return answers.score(spec, means, data.labels)
    given = SimpleNamespace(logits=torch.from_numpy(output.predictions))
    units = answers.units(given, torch.from_numpy(output.label_ids))
    rows = rows_of(units, evaluation_order(data))
    by_row = np.argsort(rows, kind="stable")
    logits = units.logits.float().numpy()[by_row]
    return compute(spec, logits, data.labels, data.owners[rows[by_row]])
