"""Running statistics of batch norms while a mask is searched: they are buffers, never weights.

A pruned network sends other means and variances into its norms than the dense one they were recorded
with. The paper's public code leaves the norms in training mode during a search, so that the forward pass
uses the batch's statistics and the running ones follow. They can also stay the dense model's, or be
estimated anew on training data under each epoch's mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rpmask.masks.weights import combined_digest, tensor_digest


def freeze_norms(model: nn.Module) -> None:
    """Let norms use their running statistics and not update them, as in evaluation."""
    for norm in _norms(model).values():
        norm.eval()


@torch.no_grad()
def reestimate_norms(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> None:
    """Replace the running statistics by the mean over these batches, every one weighing the same."""
    norms = list(_norms(model).values())
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.eval()  # dropout off: the statistics are those that evaluation will meet
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    for batch in batches:
        model(**batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


def running_statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every norm's running mean, variance and count, on the CPU; empty without such norms."""
    return {
        f"{path}.{name}" if path else name: value.detach().cpu().clone()
        for path, norm in _norms(model).items()
        for name, value in norm.named_buffers(recurse=False)
    }


@torch.no_grad()
def set_running_statistics(model: nn.Module, statistics: Mapping[str, torch.Tensor]) -> None:
    """Put a copy back, in place; what it does not name stays as it is."""
    for name, value in statistics.items():
        model.get_buffer(name).copy_(value)


def statistics_digest(statistics: Mapping[str, torch.Tensor]) -> str:
    """The identity of running statistics; empty for a model that has none."""
    if not statistics:
        return ""
    return combined_digest({name: tensor_digest(name, value) for name, value in statistics.items()})


def _norms(model: nn.Module) -> dict[str, _NormBase]:
    """Batch norms, and instance norms that track: all that keep running statistics, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is not None
    }
