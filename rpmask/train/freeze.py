"""Leave a model's embeddings as they are while the rest of it trains."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

from rpmask.masks.weights import base_of


@contextmanager
def frozen_embeddings(model: nn.Module, pruned: Collection[str] = ()) -> Iterator[None]:
    """While inside, no table of embeddings gets a gradient or a place in the optimizer.

    Those that a mask prunes, named as masks name them, have lost entries and train with the rest.
    """
    base = base_of(model)
    lossy = {id(base.get_parameter(name)) for name in pruned}
    held = [
        table.weight
        for table in model.modules()
        if isinstance(table, nn.Embedding)
        and table.weight.requires_grad
        and id(table.weight) not in lossy
    ]
    for weight in held:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in held:
            weight.requires_grad_(True)
