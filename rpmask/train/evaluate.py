"""Evaluate a model on a split: logits, per-example losses and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.tasks.metrics import compute
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import Split
from rpmask.train.losses import example_losses


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on a split. losses and logits are in the split's row order."""

    losses: np.ndarray  # (rows,)
    logits: np.ndarray  # (rows, classes)
    metrics: dict[str, float]

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
    logits: Any = None
    losses = np.empty(len(data), dtype=np.float64)
    for start in range(0, len(data), batch_size):
        rows = order[start : start + batch_size]
        batch = {name: value.to(device) for name, value in data.batch(rows).items()}
        labels = batch.pop("labels")
        out = model(**batch).logits.float()
        if logits is None:
            logits = np.empty((len(data), out.shape[-1]), dtype=np.float32)
        logits[rows] = out.cpu().numpy()
        losses[rows] = example_losses(spec, out, labels).double().cpu().numpy()
    model.train(was_training)
    return Evaluation(losses, logits, compute(spec, logits, data.labels))
