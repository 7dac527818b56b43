"""Batch norms whose weights are frozen: their running statistics stay, or are taken anew on request.

A pruned network sends other means and variances into its norms than the dense one they were
recorded with. Estimating them again is not training, but it does change the model, so it is only
done when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze_norms(model: nn.Module) -> None:
    """Let norms use their running statistics and not update them, as in evaluation."""
    for norm in _norms(model):
        norm.eval()


@torch.no_grad()
def reestimate_norms(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> None:
    """Replace the running statistics by the mean over these batches, every one weighing the same."""
    norms = _norms(model)
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


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
