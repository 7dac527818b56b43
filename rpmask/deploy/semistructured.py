"""2:4 masks on an NVIDIA GPU: torch's semi-structured kernels, which multiply by half of the weights.

They need compute capability 8.0 (Ampere) or later, half precision, and matrices whose sides are multiples
of 64. Other layers stay dense and compute the same result.
"""

from __future__ import annotations

import torch
from torch import nn

from rpmask.errors import RpmaskError

CAPABILITY = (8, 0)
SIDE = 64  # rows and columns come in tiles; 64 suits both fp16 and bf16


def is_two_of_four(weight: torch.Tensor) -> bool:
    """Whether at most two of every four consecutive weights along the inputs are not zero."""
    if weight.ndim != 2 or weight.shape[1] % 4:
        return False
    groups = weight.reshape(weight.shape[0], -1, 4)  # (out, in / 4, 4)
    return bool(((groups != 0).sum(dim=2) <= 2).all())


def fits_kernels(weight: torch.Tensor) -> bool:
    """Whether the kernels accept a matrix of this shape and pattern."""
    return not any(side % SIDE for side in weight.shape) and is_two_of_four(weight)


def available() -> str:
    """Why the kernels do not work on this machine; empty if they do."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if torch.version.hip is not None:
        return "the kernels are for NVIDIA GPUs"
    if torch.cuda.get_device_capability() < CAPABILITY:
        return "the GPU is older than compute capability 8.0"
    return ""


def install(model: nn.Module) -> tuple[str, ...]:
    """Move a model to the GPU in half precision; return the names of layers that use the kernels."""
    missing = available()
    if missing:
        raise RpmaskError(
            f"2:4 kernels cannot be used: {missing}.", "Load the model with device='cpu'."
        )
    from torch.sparse import to_sparse_semi_structured

    model.to(device="cuda", dtype=torch.float16)
    placed: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and fits_kernels(module.weight):
            compressed = to_sparse_semi_structured(module.weight.detach())
            module.weight = nn.Parameter(compressed, requires_grad=False)
            placed.append(name)
    return tuple(placed)
