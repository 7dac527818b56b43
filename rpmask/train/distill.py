"""Distillation: the pruned model learns the dense model's hidden states as well as its answers.

    loss = labels * CE(labels)
         + logits * T^2 KL(teacher / T || student / T)      (regression: squared error to the teacher)
         + hidden * sum over layers of MSE(hidden states)
         + attention * sum over layers of MSE(attention maps)

`TERMS` in `randomized_masks/paper.py` are the terms of the paper's public code. Its logit term is a soft
cross-entropy averaged over batch and classes, which up to a constant is the divergence divided by the number
of classes; for a regression it learns the labels. It pads all rows to one length and averages over the
padding too. Here padding is left out and a row keeps its weight: a map of r real tokens counts as r rows of
full_length cells, which for a row without padding is the public code's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from rpmask.errors import RpmaskError
from rpmask.tasks.spec import TaskSpec
from rpmask.train.losses import label_loss, logit_loss
from rpmask.train.plan import Distillation

NO_HIDDEN = "Leave the hidden term out (--distill-hidden 0; in a race, --race-labels)"


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

    full_length is the most tokens that a row may have; by default, the longest row of the batch.
    """
    loss = torch.zeros((), device=labels.device)
    if terms.labels:
        loss = loss + terms.labels * label_loss(task, student, labels)
    if teacher is None:
        return loss
    if terms.logits:
        loss = loss + terms.logits * logit_loss(task, student, teacher, labels, terms)
    if terms.hidden:
        loss = loss + terms.hidden * _hidden_term(student, teacher, attention_mask, terms)
    if terms.attention:
        maps = _attention_term(student, teacher, attention_mask, terms, full_length)
        loss = loss + terms.attention * maps
    return loss


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


def _hidden_term(
    student: Any, teacher: Any, attention_mask: torch.Tensor | None, terms: Distillation
) -> torch.Tensor:
    # The embeddings come first, then the layers; each is (batch, tokens, width).
    ours, theirs = (getattr(outputs, "hidden_states", None) for outputs in (student, teacher))
    shortened = attention_mask is not None and any(
        layer.shape[:2] != attention_mask.shape for layer in ours or ()
    )
    if not ours or not theirs or shortened:
        raise RpmaskError(
            "This architecture gives no hidden states, token by token, to learn from.",
            f"{NO_HIDDEN}.",
        )
    width = ours[0].shape[-1]
    if width != theirs[0].shape[-1]:
        raise RpmaskError(
            f"The teacher's hidden states are {theirs[0].shape[-1]} wide, the student's {width}.",
            f"{NO_HIDDEN}, or use a teacher of the same width.",
        )
    pairs = layer_pairs(len(ours) - 1, len(theirs) - 1, terms.layer_map)
    matched = [(ours[0], theirs[0])] + [(ours[i + 1], theirs[j + 1]) for i, j in enumerate(pairs)]
    if attention_mask is None:
        return _mean_squares(matched)
    real = attention_mask.unsqueeze(-1).float()  # (batch, tokens, 1)
    return _weighted_squares(matched, real, real.sum() * width)


def _attention_term(
    student: Any,
    teacher: Any,
    attention_mask: torch.Tensor | None,
    terms: Distillation,
    full_length: int | None,
) -> torch.Tensor:
    # Each map is (batch, heads, from, to).
    ours, theirs = (getattr(outputs, "attentions", None) for outputs in (student, teacher))
    if not ours or not theirs:
        raise RpmaskError(
            "This architecture gives no attention maps to learn from.",
            "Leave the attention term out (--distill-attention 0).",
        )
    pairs = layer_pairs(len(ours), len(theirs), terms.layer_map)
    matched = [(ours[i], theirs[j]) for i, j in enumerate(pairs)]
    if attention_mask is None:
        return _mean_squares(matched)
    heads = ours[0].shape[1]
    real = attention_mask.float()  # (batch, tokens)
    cells = real[:, None, :, None] * real[:, None, None, :]  # (batch, 1, from, to)
    count = cells.sum() * heads
    if terms.attention_mean == "full-length":
        cells = cells / real.sum(dim=1)[:, None, None, None]
        count = heads * len(real) * (full_length or real.shape[1])
    return _weighted_squares(matched, cells, count)


def _mean_squares(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in pairs]).sum()


def _weighted_squares(
    pairs: list[tuple[torch.Tensor, torch.Tensor]], weights: torch.Tensor, count: torch.Tensor | int
) -> torch.Tensor:
    parts = [((a.float() - b.float()).square() * weights).sum() / count for a, b in pairs]
    return torch.stack(parts).sum()
