"""The statistics that data-aware importances need, from one pass over a calibration set.

wanda: norm of what each input unit receives. taylor: mean gradient of the loss. fisher: mean
squared gradient over small groups of examples, the diagonal of the empirical Fisher information.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.learn.batches import Split, generator
from rpmask.learn.evaluate import example_losses
from rpmask.learn.observer import Observer
from rpmask.masks.importance import Statistics
from rpmask.masks.masked import base_of
from rpmask.tasks.spec import TaskSpec

GRADIENT_ROWS = 4  # examples per squared gradient: fewer is nearer the Fisher, more is faster


def calibration_rows(available: int, rows: int, seed: int) -> np.ndarray:
    """Which training examples the statistics are computed on: seeded, in a seeded order."""
    return generator(seed, "calibration").permutation(available)[:rows]


def calibrate(
    model: nn.Module,
    data: Split,
    spec: TaskSpec,
    tensors: Sequence[str],
    kinds: Sequence[str],
    *,
    observer: Observer,
) -> dict[str, Statistics]:
    """Statistics of the given kinds over the rows of `data`, in evaluation mode."""
    base = base_of(model)
    parameters = {name: base.get_parameter(name) for name in tensors}
    device = next(model.parameters()).device
    chosen = np.arange(len(data))
    model.eval()
    sums = {
        kind: {name: torch.zeros_like(value) for name, value in parameters.items()}
        for kind in kinds
        if kind in ("taylor", "fisher")
    }
    inputs = _InputNorms(base, tensors) if "wanda" in kinds else None
    groups = [chosen[i : i + GRADIENT_ROWS] for i in range(0, len(chosen), GRADIENT_ROWS)]
    for done, group in enumerate(groups, start=1):
        batch = {name: value.to(device) for name, value in data.batch(group).items()}
        labels = batch.pop("labels")
        with torch.set_grad_enabled(bool(sums)):
            loss = example_losses(spec, model(**batch).logits, labels).mean()
        if sums:
            grads = torch.autograd.grad(loss, list(parameters.values()))
            for name, grad in zip(parameters, grads, strict=True):
                if "taylor" in sums:
                    sums["taylor"][name].add_(grad, alpha=len(group) / len(chosen))
                if "fisher" in sums:
                    sums["fisher"][name].addcmul_(grad, grad, value=1.0 / len(groups))
        observer.progress(done, len(groups), "calibration")
    found = {kind: Statistics.of(kind, values) for kind, values in sums.items()}
    if inputs is not None:
        found["wanda"] = Statistics.of("wanda", inputs.close())
    for kind, statistics in found.items():
        if not any(bool(tensor.any()) for tensor in statistics.tensors.values()):
            # Every weight would matter as little as any other, and ties are broken at random.
            raise RpmaskError(
                f"The {kind} statistics of {len(chosen)} rows are zero for every weight.",
                "Give more --calibration-rows, or draw around magnitude with --importance magnitude.",
            )
    return found


class _InputNorms:
    """L2 norm of every input unit (or channel) of the modules that own the given tensors."""

    def __init__(self, base: nn.Module, tensors: Sequence[str]) -> None:
        self._squares: dict[str, torch.Tensor] = {}
        self._handles = []
        for name in tensors:
            module = base.get_submodule(name.rpartition(".")[0])
            self._handles.append(module.register_forward_pre_hook(self._hook(name, module)))

    def _hook(self, name: str, module: nn.Module):  # type: ignore[no-untyped-def]
        channels = 1 if isinstance(module, nn.Conv2d) else -1  # where the input units lie

        def add(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            values = arguments[0].detach().float().movedim(channels, -1)
            squares = values.reshape(-1, values.shape[-1]).square().sum(0)  # (in,)
            known = self._squares.get(name)
            self._squares[name] = squares if known is None else known + squares

        return add

    def close(self) -> dict[str, torch.Tensor]:
        for handle in self._handles:
            handle.remove()
        return {name: squares.sqrt() for name, squares in self._squares.items()}
