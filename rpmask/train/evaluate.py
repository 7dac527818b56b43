"""Logits, per-example losses and metrics of a model on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rpmask.tasks.metrics import compute
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import Split


@dataclass(frozen=True)
class Evaluation:
    """What a model says about a split. losses and logits are in the split's row order."""

    losses: np.ndarray  # (rows,)
    logits: np.ndarray  # (rows, classes)
    metrics: dict[str, float]

    @property
    def loss(self) -> float:
        """Mean loss; infinite when the model is broken, so that it loses every comparison."""
        return float(self.losses.mean())


def example_losses(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, or squared error for a regression, one value a row."""
    if spec.kind == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float(), reduction="none")
    return F.cross_entropy(logits.float(), labels, reduction="none")


@torch.no_grad()
def evaluate(model: nn.Module, data: Split, spec: TaskSpec, batch_size: int = 64) -> Evaluation:
    """Run the model over a split in length order, so that little is padded."""
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
