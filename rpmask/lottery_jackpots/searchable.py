"""Which weights a jackpot search moves by default: in a convolutional network, every convolution.

The paper prunes the first convolution too, and leaves out only the last layer. `find_prunable`, the rule
of the other paper, takes repeated blocks alone; it still applies where blocks hold matrices, as in a
vision transformer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rpmask.errors import RpmaskError
from rpmask.masks.weights import Prunable, find_prunable


def find_searchable(
    model: nn.Module, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Prunable, ...]:
    """The tensors to search: by rule, unless patterns say otherwise, as in `find_prunable`."""
    try:
        by_rule = find_prunable(model)
    except RpmaskError:  # no repeated blocks, but the patterns may name something
        return find_prunable(model, include, exclude)
    adds_to_rule = all(pattern.startswith("+") for pattern in include)
    if adds_to_rule and all(tensor.kind == "conv2d" for tensor in by_rule):
        convolutions = [t.name for t in find_prunable(model, ("*",)) if t.kind == "conv2d"]
        include = (*include, *(f"+{name}" for name in convolutions))
    return find_prunable(model, include, exclude)
