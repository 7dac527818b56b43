"""A candidate's training state between two rungs, as safetensors in memory.

Masked tensors are stored at their kept positions only; frozen parameters are not stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import nn

from rpmask.masks.masked import MaskHold

_PARTS = ("value", "exp_avg", "exp_avg_sq", "step")
_NOTE = "note/"


def captured(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    hold: MaskHold,
    notes: Mapping[str, torch.Tensor] | None = None,
) -> bytes:
    """Trained parameters with their optimizer state, buffers, and notes for the next rung."""
    kept = hold.kept
    arrays: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        state = optimizer.state.get(parameter, {})
        for part, value in {"value": parameter.detach(), **state}.items():
            masked = parameter in kept and value.shape == parameter.shape
            content = value[kept[parameter]] if masked else value.detach().clone()
            arrays[f"{part}/{name}"] = content.contiguous()
    for name, buffer in model.named_buffers():  # batch norm's running statistics
        arrays[f"buffer/{name}"] = buffer.detach().clone().contiguous()
    arrays.update({f"{_NOTE}{name}": value for name, value in (notes or {}).items()})
    return safetensors.torch.save(arrays)


@torch.no_grad()
def restore(
    model: nn.Module, optimizer: torch.optim.Optimizer, hold: MaskHold, content: bytes
) -> dict[str, torch.Tensor]:
    """Load a captured state into a model with the starting weights and a new optimizer; its notes."""
    kept = hold.kept
    arrays = safetensors.torch.load(content)
    for name, buffer in model.named_buffers():
        buffer.copy_(arrays[f"buffer/{name}"])
    for name, parameter in model.named_parameters():
        for part in _PARTS:
            value = arrays.get(f"{part}/{name}")
            if value is None:
                continue
            full = value.to(parameter.device)  # the step too: a fused optimizer needs it there
            if part != "step" and parameter in kept:
                full = torch.zeros_like(parameter)
                full[kept[parameter]] = value.to(parameter.device)
            if part == "value":
                parameter.copy_(full)
            else:
                optimizer.state[parameter][part] = full
    return {
        name.removeprefix(_NOTE): value for name, value in arrays.items() if name.startswith(_NOTE)
    }
