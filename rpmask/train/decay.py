"""Which parameters weight decay pulls on, in a race and in a training: matrices, no bias and no norm.

The rule is the Trainer's own, written down here so that a race has the same one.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.trainer_pt_utils import get_parameter_names

# By name where the type does not tell: norms of other classes than torch's.
NOT_DECAYED = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")


def decaying_names(model: nn.Module) -> list[str]:
    """The parameters that decay."""
    names: list[str] = get_parameter_names(model, [nn.LayerNorm], list(NOT_DECAYED))
    return names


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What trains, in two groups for an optimizer: with decay and without."""
    decaying = set(decaying_names(model))
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for name, p in trained if name in decaying], "weight_decay": weight_decay},
        {"params": [p for name, p in trained if name not in decaying], "weight_decay": 0.0},
    ]
