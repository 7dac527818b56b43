"""The losses of a batch, whatever a model answers: means over its units."""

from __future__ import annotations

from typing import Any

import torch

from rpmask.heads.outputs import example_means
from rpmask.heads.registry import head_of
from rpmask.tasks.spec import TaskSpec
from rpmask.train.plan import Distillation


def example_losses(spec: TaskSpec, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """One value per row, the mean over its units: cross-entropy, or the squared error of a number."""
    answers = head_of(spec).answers
    units = answers.units(outputs, labels)
    return example_means(answers.losses(units), units.examples, len(labels))


def label_loss(spec: TaskSpec, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """The mean loss of a batch's units. Those without a label (`train/augment.py`) count as without loss."""
    answers = head_of(spec).answers
    return answers.losses(answers.units(outputs, labels)).mean()


def logit_loss(
    spec: TaskSpec,
    student: Any,
    teacher: Any,
    labels: torch.Tensor,
    terms: Distillation,
) -> torch.Tensor:
    """The mean distance of the answers to a batch's units from the teacher's."""
    answers = head_of(spec).answers
    ours, theirs = answers.units(student, labels), answers.units(teacher, labels)
    return answers.logit_term(ours, theirs, terms)
