"""The losses that depend on what a model answers: a class, or a number."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from rpmask.tasks.spec import TaskSpec
from rpmask.train.plan import Distillation


def example_losses(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One value per row: cross-entropy, or the squared error of a regression."""
    if spec.kind == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float(), reduction="none")
    return F.cross_entropy(logits.float(), labels, reduction="none")


def label_loss(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean loss of a batch. Rows without a label (`train/augment.py`) count as rows without loss."""
    if spec.kind == "regression":
        labels = torch.where(labels.isnan(), logits.detach().squeeze(-1).float(), labels.float())
    return example_losses(spec, logits, labels).mean()


def logit_loss(
    spec: TaskSpec,
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    terms: Distillation,
) -> torch.Tensor:
    """The mean distance of a batch's logits, (batch, classes), from the teacher's."""
    if spec.kind == "regression":
        if terms.regression_target == "labels":
            return label_loss(spec, student, labels)
        return F.mse_loss(student.float(), teacher.float())
    t = terms.temperature
    if terms.logit_loss == "cross-entropy":
        shares = F.softmax(teacher.float() / t, dim=-1)  # (batch, classes)
        return (t * t) * -(shares * F.log_softmax(student.float() / t, dim=-1)).mean()
    return (t * t) * F.kl_div(
        F.log_softmax(student.float() / t, dim=-1),
        F.log_softmax(teacher.float() / t, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
