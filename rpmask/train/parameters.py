"""Which parameters train, and which of them decay: the same rules for a race and a training."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers.trainer_pt_utils import get_parameter_names

from rpmask.masks.weights import base_of

# The Trainer's own rule. By name where the type does not tell: norms of other classes than torch's.
NOT_DECAYED = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")


def decaying_names(model: nn.Module) -> list[str]:
    """The parameters with weight decay: matrices and embeddings, but no bias and no norm."""
    names: list[str] = get_parameter_names(model, [nn.LayerNorm], list(NOT_DECAYED))
    return names


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in two groups for an optimizer: with decay and without."""
    decaying = set(decaying_names(model))
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for name, p in trained if name in decaying], "weight_decay": weight_decay},
        {"params": [p for name, p in trained if name not in decaying], "weight_decay": 0.0},
    ]


@contextmanager
def frozen_embeddings(model: nn.Module, pruned: Collection[str] = ()) -> Iterator[None]:
    """Freeze the embedding tables: inside, they have no gradient and no place in the optimizer.

    Tables that a mask prunes have lost entries and train like other matrices.
    """
    base = base_of(model)
    lossy = {id(base.get_parameter(name)) for name in pruned}
    frozen = [
        table.weight
        for table in model.modules()
        if isinstance(table, nn.Embedding)
        and table.weight.requires_grad
        and id(table.weight) not in lossy
    ]
    for weight in frozen:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
