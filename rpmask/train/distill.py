"""Distillation: the pruned model learns what the dense one computes, not only what it answers.

    loss = labels * CE(labels)
         + logits * T^2 KL(teacher / T || student / T)      (regression: squared error to the teacher)
         + hidden * sum over layers of MSE(hidden states)
         + attention * sum over layers of MSE(attention maps)

`TERMS` of `randomized_masks/paper.py` are those of the paper's public code: the logit term is a
soft cross-entropy averaged over batch and classes, which is the divergence over the number of classes but
for a constant, and that of a regression learns the labels. Its rows are all padded to one length, and its
means take the padding in. Padding teaches nothing, so it is left out here and a row keeps its weight: a map
of r real tokens counts as r rows of full_length cells, which for a row without padding is the public value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from rpmask.errors import RpmaskError
from rpmask.tasks.spec import TaskSpec
from rpmask.train.evaluate import example_losses
from rpmask.train.plan import Distillation


def layer_pairs(student_layers: int, teacher_layers: int, given: Sequence[int]) -> tuple[int, ...]:
    """The teacher layer that each student layer learns from: evenly spaced, ending at the last."""
    if given:
        if len(given) != student_layers or not all(0 <= i < teacher_layers for i in given):
            raise RpmaskError(
                f"The layer map {list(given)} does not fit {student_layers} student layers and "
                f"{teacher_layers} teacher layers.",
                f"Give {student_layers} numbers between 0 and {teacher_layers - 1}.",
            )
        return tuple(given)
    if student_layers > teacher_layers:
        raise RpmaskError(
            f"The teacher has {teacher_layers} layers, fewer than the student's {student_layers}.",
            "Give a layer map, or a teacher with at least as many layers.",
        )
    return tuple(
        round((i + 1) * teacher_layers / student_layers) - 1 for i in range(student_layers)
    )


def distillation_loss(
    student: Any,
    teacher: Any | None,
    labels: torch.Tensor,
    attention_mask: torch.Tensor | None,
    task: TaskSpec,
    terms: Distillation,
    full_length: int | None = None,
) -> torch.Tensor:
    """The weighted sum of the terms for one batch; images have no attention mask.

    full_length is how many tokens a row may have; the longest of the batch if nobody says.
    """
    loss = student.logits.new_zeros((), dtype=torch.float32)
    if terms.labels:
        loss = loss + terms.labels * _label_term(student.logits, labels, task)
    if teacher is None:
        return loss
    if terms.logits:
        if task.kind == "regression" and terms.regression_target == "labels":
            loss = loss + terms.logits * _label_term(student.logits, labels, task)
        else:
            loss = loss + terms.logits * _logit_term(student.logits, teacher.logits, task, terms)
    if terms.hidden:
        loss = loss + terms.hidden * _hidden_term(student, teacher, attention_mask, terms)
    if terms.attention:
        maps = _attention_term(student, teacher, attention_mask, terms, full_length)
        loss = loss + terms.attention * maps
    return loss


def _label_term(logits: torch.Tensor, labels: torch.Tensor, task: TaskSpec) -> torch.Tensor:
    """The mean over the batch; a row whose label nobody knows (`train/augment.py`) counts as none."""
    if task.kind == "regression":
        labels = torch.where(labels.isnan(), logits.detach().squeeze(-1).float(), labels.float())
    return example_losses(task, logits, labels).mean()


def _logit_term(
    student: torch.Tensor, teacher: torch.Tensor, task: TaskSpec, terms: Distillation
) -> torch.Tensor:
    if task.kind == "regression":
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


def _hidden_term(
    student: Any, teacher: Any, attention_mask: torch.Tensor | None, terms: Distillation
) -> torch.Tensor:
    # Embeddings first, then layers.
    ours, theirs = (getattr(one, "hidden_states", None) for one in (student, teacher))
    if not ours or not theirs or _shortened(ours, attention_mask):
        raise RpmaskError(
            "This architecture gives no hidden states, token by token, to learn from.",
            "Leave the hidden term out (--distill-hidden 0; in a race, --race-labels).",
        )
    pairs = layer_pairs(len(ours) - 1, len(theirs) - 1, terms.layer_map)
    matched = [(ours[0], theirs[0])] + [(ours[i + 1], theirs[j + 1]) for i, j in enumerate(pairs)]
    if ours[0].shape[-1] != theirs[0].shape[-1]:
        raise RpmaskError(
            f"The teacher's hidden states are {theirs[0].shape[-1]} wide, "
            f"the student's {ours[0].shape[-1]}.",
            "Leave the hidden term out (--distill-hidden 0; in a race, --race-labels), or use a teacher of "
            "the same width.",
        )
    if attention_mask is None:
        return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in matched]).sum()
    real = attention_mask.unsqueeze(-1).float()  # (batch, tokens, 1); padding teaches nothing
    count = real.sum() * ours[0].shape[-1]
    terms_ = [((a.float() - b.float()).square() * real).sum() / count for a, b in matched]
    return torch.stack(terms_).sum()


def _shortened(layers: Any, attention_mask: torch.Tensor | None) -> bool:
    """Whether a network makes its input shorter on the way."""
    return attention_mask is not None and any(
        layer.shape[:2] != attention_mask.shape for layer in layers
    )


def _attention_term(
    student: Any,
    teacher: Any,
    attention_mask: torch.Tensor | None,
    terms: Distillation,
    full_length: int | None,
) -> torch.Tensor:
    ours, theirs = (getattr(one, "attentions", None) for one in (student, teacher))
    if not ours or not theirs:
        raise RpmaskError(
            "This architecture gives no attention maps to learn from.",
            "Leave the attention term out (--distill-attention 0).",
        )
    pairs = layer_pairs(len(ours), len(theirs), terms.layer_map)
    if attention_mask is None:
        maps = [F.mse_loss(ours[i].float(), theirs[j].float()) for i, j in enumerate(pairs)]
        return torch.stack(maps).sum()
    real = attention_mask.float()
    cells = real[:, None, :, None] * real[:, None, None, :]  # (batch, 1, from, to)
    count = cells.sum() * ours[0].shape[1]
    if terms.attention_mean == "full-length":
        cells = cells / real.sum(dim=1)[:, None, None, None]
        count = ours[0].shape[1] * len(real) * (full_length or real.shape[1])
    parts = [
        ((ours[i].float() - theirs[j].float()).square() * cells).sum() / count
        for i, j in enumerate(pairs)
    ]
    return torch.stack(parts).sum()
