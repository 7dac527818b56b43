"""Where a model's parameters lie: shared by two models, in memory of their own, or in a file.

Weights that were read from a safetensors file are mapped: the system reads them when they are used and may
forget them again. Memory is taken by what is computed.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


def sharing(model: nn.Module) -> nn.Module:
    """A copy of the model whose parameters share their memory with the model's."""
    shared = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, shared)


def give_own(parameter: nn.Parameter, keep: torch.Tensor | None = None) -> None:
    """Give a parameter memory of its own, with zeros where a mask drops."""
    if keep is None:
        parameter.data = parameter.data.clone()
    else:
        parameter.data = parameter.data.masked_fill(~keep.to(parameter.device), 0.0)


def move_to_file(parameters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Write parameters to a file, and use its values from now on.

    The file has no name any more: its place on the disk is free again when the last parameter is gone.
    """
    path = folder / f"{uuid.uuid4().hex}.safetensors"
    try:
        save_file({name: p.data.contiguous() for name, p in parameters.items()}, path)
        mapped = load_file(path)
    finally:
        path.unlink(missing_ok=True)
    for name, parameter in parameters.items():
        parameter.data = mapped[name]
