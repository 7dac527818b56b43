"""How many candidates train on a GPU at a time: as many as its memory holds, by an upper estimate.

If the estimate is too low all the same, the race ends with an error that says to use fewer workers, and
continues where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import nn

from rpmask.train.plan import LABELS_ONLY, Distillation

# float32 weights, gradients and both moments of the optimizer, and one byte for the kept positions.
BYTES_A_PARAMETER = 4 * 4 + 1
CONTEXT_BYTES = 1 << 30  # taken by CUDA and its libraries in every process
FRAGMENTATION = 1.2  # memory torch's allocator holds, relative to memory in use


def candidate_bytes(
    model: nn.Module, batch_size: int, tokens: int, terms: Distillation = LABELS_ONLY
) -> int | None:
    """An upper estimate of the device memory for training one candidate; None if it is not a transformer.

    Activations are those a transformer layer keeps for the backward pass in float32: 17 vectors of the
    hidden size per token (inputs of the six products, norms, activation function, dropout) and 2.5
    attention maps per head. A teacher, assumed to be of the same size, adds its weights, the hidden states
    of both models and their differences, and both models' attention maps if those are distilled.
    """
    config = getattr(model, "config", None)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads")
    sizes = [size for name in names if isinstance(size := getattr(config, name, None), int)]
    if len(sizes) < len(names):
        return None
    hidden, layers, heads = sizes
    longest = -(-tokens // 8) * 8  # batches are padded to multiples of eight
    row = layers * longest * (17 * hidden + 2.5 * heads * longest)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    in_use = BYTES_A_PARAMETER * parameters + 4 * batch_size * row
    if terms.needs_teacher:
        states = 3 * (layers + 1) * longest * hidden
        maps = 3 * layers * heads * longest**2 if terms.attention else 0
        in_use += 4 * parameters + 4 * batch_size * (states + maps)
    return CONTEXT_BYTES + int(FRAGMENTATION * in_use)


def free_devices() -> list[int]:
    """Free bytes of every device this process sees."""
    return [torch.cuda.mem_get_info(device)[0] for device in range(torch.cuda.device_count())]


def places(free: Sequence[int], need: int | None, most: int) -> list[int]:
    """The device of each worker; each next worker goes where most memory is left.

    If `need` is None (unknown), no device is shared. There is always at least one worker.
    """
    left = list(free)
    chosen: list[int] = []
    while len(chosen) < most:
        if need is None:
            unused = [device for device in range(len(left)) if device not in chosen]
        else:
            unused = [device for device in range(len(left)) if left[device] >= need]
        if not unused:
            break
        device = max(unused, key=lambda i: (left[i], -i))
        left[device] -= need or 0
        chosen.append(device)
    return chosen or [max(range(len(left)), key=lambda i: (left[i], -i))]


def seeing(device: int) -> dict[str, str]:
    """The environment of a process that may see only this device."""
    ours = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": ours.split(",")[device].strip() if ours else str(device)}
