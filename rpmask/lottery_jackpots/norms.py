"""Running statistics of batch norms during a search. They are buffers, not weights, and may change.

A pruned network sends other means and variances into its norms than the dense network did. The paper's
public code leaves the norms in training mode: the forward pass uses the batch's statistics and updates
the running ones. The alternatives keep the dense model's statistics, or estimate new ones on training data
under each epoch's mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rpmask.masks.weights import combined_digest, tensor_digest

Statistics = Mapping[str, torch.Tensor]


def freeze_norms(model: nn.Module) -> None:
    """Make norms use their running statistics and not update them, as in evaluation."""
    for norm in _norms(model).values():
        norm.eval()


@torch.no_grad()
def reestimate_norms(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> None:
    """Replace the running statistics by their mean over these batches, each with the same weight."""
    norms = list(_norms(model).values())
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.eval()  # without dropout, as in the evaluation that follows
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
    norms = _norms(model)
    return {
        name: value.detach().cpu().clone()
        for name, value in model.named_buffers()
        if name.rpartition(".")[0] in norms
    }


@torch.no_grad()
def set_running_statistics(model: nn.Module, statistics: Statistics) -> None:
    """Set the norms' statistics to a copy, in place. Buffers that it does not name stay as they are."""
    for name, value in statistics.items():
        model.get_buffer(name).copy_(value)


def statistics_digest(statistics: Statistics) -> str:
    """The digest of running statistics; empty for a model that has none."""
    if not statistics:
        return ""
    return combined_digest({name: tensor_digest(name, value) for name, value in statistics.items()})


def _norms(model: nn.Module) -> dict[str, _NormBase]:
    """The norms that keep running statistics, by path: batch norms, and instance norms that track."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is not None
    }
