"""Which weights a jackpot search moves by default: of a convolutional network, every convolution.

The lottery-jackpots paper prunes the first convolution too, and only the last layer not; the rule of
`find_prunable`, the other paper's, takes repeated blocks alone. Where blocks hold matrices beside or
instead of convolutions, as a vision transformer's do, that rule stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rpmask.errors import RpmaskError
from rpmask.masks.weights import Prunable, find_prunable


def find_searchable(
    model: nn.Module, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Prunable, ...]:
    """The tensors to search, by rule unless patterns say otherwise, as in `find_prunable`."""
    try:
        by_rule = find_prunable(model)
    except RpmaskError:  # no repeated blocks: patterns may still name something
        return find_prunable(model, include, exclude)
    if all(tensor.kind == "conv2d" for tensor in by_rule):
        everything = find_prunable(model, ("*",))
        stems = (f"+{tensor.name}" for tensor in everything if tensor.kind == "conv2d")
        include = (*include, *(stems if _adds(include) else ()))
    return find_prunable(model, include, exclude)


def _adds(include: Sequence[str]) -> bool:
    """Whether the patterns leave the rule in force."""
    return all(pattern.startswith("+") for pattern in include)
