"""What a candidate has become between two rungs of a race: safetensors, in memory.

Of masked tensors only the kept positions are written, and nothing of a parameter that does not train: it is
as it was at the start.
"""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import nn

from rpmask.masks.mask import Mask
from rpmask.masks.weights import base_of

_MOMENTS = ("exp_avg", "exp_avg_sq")
_NOTE = "note/"


def captured(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    mask: Mask,
    notes: Mapping[str, torch.Tensor] | None = None,
) -> bytes:
    """What trains, its moments, the buffers, and what else is to be known at the next rung."""
    kept = _kept_positions(model, mask)
    arrays: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # as it was at the start
            continue
        state = optimizer.state.get(parameter, {})
        parts = {"value": parameter.detach(), **state}
        for part, value in parts.items():
            masked = id(parameter) in kept and value.shape == parameter.shape
            arrays[f"{part}/{name}"] = (
                value[kept[id(parameter)]] if masked else value.detach().clone()
            ).contiguous()
    for name, buffer in model.named_buffers():  # batch norm's running statistics
        arrays[f"buffer/{name}"] = buffer.detach().clone().contiguous()
    arrays.update({f"{_NOTE}{name}": value for name, value in (notes or {}).items()})
    return safetensors.torch.save(arrays)


def notes_of(content: bytes) -> dict[str, torch.Tensor]:
    """The notes that were captured beside the weights."""
    arrays = safetensors.torch.load(content)
    return {
        name.removeprefix(_NOTE): value for name, value in arrays.items() if name.startswith(_NOTE)
    }


@torch.no_grad()
def restore(model: nn.Module, optimizer: torch.optim.Optimizer, mask: Mask, content: bytes) -> None:
    """Put back what was captured, into a model as it was at the start and an optimizer without steps."""
    kept = _kept_positions(model, mask)
    arrays = safetensors.torch.load(content)
    for name, buffer in model.named_buffers():
        buffer.copy_(arrays[f"buffer/{name}"])
    for name, parameter in model.named_parameters():
        parts = {part: arrays.get(f"{part}/{name}") for part in ("value", *_MOMENTS, "step")}
        for part, value in parts.items():
            if value is None:
                continue
            full = value.to(parameter.device)  # the step too: a fused optimizer wants it there
            if part != "step" and id(parameter) in kept:
                full = torch.zeros_like(parameter)
                full[kept[id(parameter)]] = value.to(parameter.device)
            if part == "value":
                parameter.copy_(full)
            else:
                optimizer.state[parameter][part] = full


def _kept_positions(model: nn.Module, mask: Mask) -> dict[int, torch.Tensor]:
    base = base_of(model)
    return {
        id(parameter := base.get_parameter(name)): mask.keep(name).to(parameter.device)
        for name in mask.names
    }
