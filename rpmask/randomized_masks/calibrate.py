"""Compute the statistics of data-aware importances in one pass over a calibration set.

wanda: norm of each input unit's activations. taylor: mean gradient of the loss. fisher: mean squared
gradient over small groups of examples, the diagonal of the empirical Fisher information. true-fisher: the
same with labels drawn from the model's own outputs, softened as distillation softens them: it measures how
far the outputs move, right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.heads.outputs import example_means
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.masks.weights import base_of
from rpmask.randomized_masks.importance import Statistics
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import real_rows
from rpmask.train.observer import Observer

GRADIENT_ROWS = 4  # examples per squared gradient: fewer is closer to the Fisher, more is faster
SOFTENED = 2.0  # temperature of the outputs that labels are drawn from


def calibrate(
    model: nn.Module,
    data: Split,
    spec: TaskSpec,
    tensors: Sequence[str],
    kinds: Sequence[str],
    *,
    seed: int,
    observer: Observer,
    rows: np.ndarray | None = None,
) -> dict[str, Statistics]:
    """Statistics of the given kinds over these rows of `data`, or all of them, in evaluation mode.

    `seed` is for drawing labels.
    """
    base = base_of(model)
    parameters = {name: base.get_parameter(name) for name in tensors}
    device = next(model.parameters()).device
    if rows is None:
        rows = np.arange(len(data))
    model.eval()
    sums = {
        kind: {name: torch.zeros_like(value) for name, value in parameters.items()}
        for kind in kinds
        if kind in ("taylor", "fisher", "true-fisher")
    }
    random, answers = generator(seed, "answers"), head_of(spec).answers
    inputs = _InputNorms(base, tensors) if "wanda" in kinds else None
    size = data.at_once(GRADIENT_ROWS)
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]
    for done, group in enumerate(groups, start=1):
        batch = {name: value.to(device) for name, value in data.batch(group).items()}
        labels = batch.pop("labels")
        if inputs is not None:
            inputs.real = batch.get("attention_mask")
        with torch.set_grad_enabled(bool(sums)):
            units = answers.units(model(**batch), labels)
        if {"taylor", "fisher"} & sums.keys():
            loss = example_means(answers.losses(units), units.examples, len(group)).mean()
            for name, grad in _gradients(loss, parameters, again="true-fisher" in sums):
                if "taylor" in sums:
                    sums["taylor"][name].add_(grad, alpha=len(group) / len(rows))
                if "fisher" in sums:
                    sums["fisher"][name].addcmul_(grad, grad, value=1.0 / len(groups))
        if "true-fisher" in sums:
            softened = replace(units, logits=answers.softened(units.logits, SOFTENED))
            drawn = softened.aiming_at(answers.drawn(softened.logits, random))
            loss = example_means(answers.losses(drawn), drawn.examples, len(group)).mean()
            for name, grad in _gradients(loss, parameters):
                sums["true-fisher"][name].addcmul_(grad, grad, value=1.0 / len(groups))
        observer.progress(done, len(groups), "calibration")
    found = {kind: Statistics.of(kind, values) for kind, values in sums.items()}
    if inputs is not None:
        found["wanda"] = Statistics.of("wanda", inputs.close())
    for kind, statistics in found.items():
        if not any(bool(tensor.any()) for tensor in statistics.tensors.values()):
            # All importances would be equal, and ties are broken at random.
            raise RpmaskError(
                f"The {kind} statistics of {len(rows)} rows are zero for every weight.",
                "Give more --calibration-rows, or draw around magnitude with --importance magnitude.",
            )
    return found


def _gradients(
    loss: torch.Tensor, parameters: Mapping[str, torch.Tensor], again: bool = False
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each parameter's gradient, by name; `again` keeps the graph for another loss."""
    grads = torch.autograd.grad(loss, list(parameters.values()), retain_graph=again)
    return zip(parameters, grads, strict=True)


class _InputNorms:
    """L2 norms of the input units (or channels) of the modules that own the given tensors.

    `real` is the attention mask of the current batch.
    """

    def __init__(self, base: nn.Module, tensors: Sequence[str]) -> None:
        self.real: torch.Tensor | None = None
        self._squares: dict[str, torch.Tensor] = {}
        self._handles = []
        for name in tensors:
            module = base.get_submodule(name.rpartition(".")[0])
            self._handles.append(module.register_forward_pre_hook(self._hook(name, module)))

    def _hook(self, name: str, module: nn.Module):  # type: ignore[no-untyped-def]
        channels = 1 if isinstance(module, nn.Conv2d) else -1  # the axis of the input units

        def add(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            values = arguments[0].detach().float().movedim(channels, -1)
            squares = real_rows(values, self.real).square().sum(0)  # (in,)
            known = self._squares.get(name)
            self._squares[name] = squares if known is None else known + squares

        return add

    def close(self) -> dict[str, torch.Tensor]:
        for handle in self._handles:
            handle.remove()
        return {name: squares.sqrt() for name, squares in self._squares.items()}
