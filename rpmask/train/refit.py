"""Refit the kept weights before a training: least squares against the answers of the dense matrices.

Matrix by matrix, in the order in which the model uses them, the kept weights are fitted so that they give,
from the inputs in the pruned and so far refitted model, what the whole matrix gives in the dense model. Each
output unit is a small system of its own, whose unknowns are its kept weights and its bias; a ridge pulls them
to the values they had. Optimal Brain Surgeon does this layer by layer (Hassibi and Stork, 1993; Dong et al.,
arXiv 1705.07565); here each layer is solved at once, with the inputs of the pruned model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, is_matrix
from rpmask.train.batches import calibration_rows, real_rows
from rpmask.train.least_squares import solve_kept
from rpmask.train.observer import Observer

ROWS = 60  # per batch. Not divisible by 8, so batch and token axes stay distinguishable

Batches = Sequence[dict[str, torch.Tensor]]


def refit_batches(data: Split, rows: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """The model's inputs for this many rows, without labels, rows of similar length together."""
    chosen = calibration_rows(len(data), rows, seed)
    chosen = chosen[np.argsort(data.lengths[chosen], kind="stable")]
    size = data.at_once(ROWS)
    batches = [data.batch(chosen[i : i + size]) for i in range(0, len(chosen), size)]
    return [{k: v for k, v in batch.items() if k != "labels"} for batch in batches]


def refit(model: nn.Module, mask: Mask, batches: Batches, observer: Observer) -> int:
    """Mask the model and refit the matrices that a forward pass uses once; returns their number.

    A matrix is a Linear or a Conv1D weight. Convolutions, and matrices shared by several places, are masked
    and keep their values.
    """
    hold = MaskHold(model, mask)
    if not any(is_matrix(_owner(base_of(model), name)) for name in mask.names):
        hold.apply()
        return 0
    original = copy.deepcopy(model).eval()
    hold.apply()
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = [{name: value.to(device) for name, value in batch.items()} for batch in batches]
    with torch.no_grad(), _Passes(original, batches) as dense, _Passes(model, batches) as pruned:
        groups = _groups(model, mask, batches[0])
        blocks = [_block(group[0]) for group in groups]
        for done, (group, block) in enumerate(zip(groups, blocks, strict=True), start=1):
            _refit_group(dense, pruned, mask, group)
            if block not in blocks[done:]:
                dense.replay(block)
                pruned.replay(block)
            observer.progress(done, len(groups), "refit")
    hold.apply()
    model.train(training)
    return sum(len(group) for group in groups)


def _groups(model: nn.Module, mask: Mask, batch: dict[str, torch.Tensor]) -> list[list[str]]:
    """The matrices in the order of their use; those with the very same input are in one group."""
    used: list[tuple[str, torch.Tensor]] = []
    base = base_of(model)
    handles = []
    for name in mask.names:
        if is_matrix(owner := _owner(base, name)):

            def note(_: nn.Module, inputs: Any, name: str = name) -> None:
                used.append((name, inputs[0]))

            handles.append(owner.register_forward_pre_hook(note))
    try:
        model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    names = [name for name, _ in used]
    groups: list[list[str]] = []
    before = None
    for name, given in used:
        if names.count(name) > 1:
            continue  # shared
        if given is before:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = given
    return groups


def _block(name: str) -> str:
    """The block that a tensor belongs to: up to the first number in its name, or else its module."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts) - 2)
    return ".".join(parts[: number + 1])


class _Stop(Exception):
    """Ends a forward pass that has reached what it was run for."""


class _Passes:
    """Forward passes of one model over the batches, in which finished blocks replay their outputs.

    The blocks of a list run one after another, so only the output of the last finished one is ever read; all
    finished blocks of a list return it.
    """

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        self.base, self.batches = base_of(model), batches
        self._model = model
        self._index = 0
        self._outputs: dict[str, list[Any]] = {}
        self._replayed: list[nn.Module] = []

    def __enter__(self) -> _Passes:
        return self

    def __exit__(self, *_: object) -> None:
        for block in self._replayed:
            del block.forward

    def input_of(self, name: str, index: int) -> torch.Tensor | None:
        """The input of a matrix in one batch; None if the model does not use the matrix for it."""
        owner = _owner(self.base, name)
        return self._run(
            index, lambda stop: owner.register_forward_pre_hook(lambda _, inputs: stop(inputs[0]))
        )

    def replay(self, name: str) -> None:
        """Record a finished block's outputs and return them from now on, without computing the block."""
        block = self.base.get_submodule(name)
        if isinstance(block, nn.ModuleList):
            return  # it has no forward pass
        siblings, _, number = name.rpartition(".")
        place = siblings if number.isdecimal() else name
        self._outputs[place] = [
            self._run(i, lambda stop: block.register_forward_hook(lambda _, __, out: stop(out)))
            for i in range(len(self.batches))
        ]
        block.forward = lambda *_, **__: self._outputs[place][self._index]
        self._replayed.append(block)

    def _run(self, index: int, hook: Callable[[Callable[[Any], None]], RemovableHandle]) -> Any:
        """Run one batch until the hook calls stop, and return what it passed; None if it never does."""
        passed: list[Any] = []

        def stop(value: Any) -> None:
            passed.append(value)
            raise _Stop

        self._index = index
        handle = hook(stop)
        with suppress(_Stop):
            self._model(**self.batches[index])
        handle.remove()
        return passed[0] if passed else None


def _refit_group(dense: _Passes, pruned: _Passes, mask: Mask, group: list[str]) -> None:
    """Refit matrices that have the same input."""
    layers = {name: _owner(pruned.base, name) for name in group}
    originals = {name: _owner(dense.base, name) for name in group}
    width = len(_matrix(layers[group[0]])) + 1
    device = layers[group[0]].weight.device
    gram = torch.zeros(width, width, device=device)
    answers = {
        name: torch.zeros(width, _matrix(layer).shape[1], device=device)
        for name, layer in layers.items()
    }
    for index, batch in enumerate(dense.batches):
        real = batch.get("attention_mask")
        before, now = (side.input_of(group[0], index) for side in (dense, pruned))
        if before is None or now is None or before.shape != now.shape:
            continue  # the model chooses its path by the row; without any input the ridge keeps the values
        before, now = _with_ones(before, real), _with_ones(now, real)
        gram += now.T @ now
        for name, original in originals.items():
            answers[name] += now.T @ (before @ _with_bias(original))
    if not all(bool(sums.isfinite().all()) for sums in (gram, *answers.values())):
        return  # the loss will not be finite either, and stops the training
    for name, layer in layers.items():
        keep = mask.keep(name)
        by_unit = keep if isinstance(layer, nn.Linear) else keep.T
        solved = solve_kept(
            gram, answers[name], _with_bias(originals[name]), by_unit, layer.bias is not None
        )
        _matrix(layer).copy_(solved[:-1])
        if layer.bias is not None:
            layer.bias.copy_(solved[-1])


def _with_ones(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Inputs of real tokens as rows, with a column of ones for the bias, (rows, in + 1)."""
    flat = real_rows(values, real).float()
    return torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)


def _matrix(layer: Any) -> torch.Tensor:
    """The weights of a matrix, (in, out)."""
    weight: torch.Tensor = layer.weight
    return weight.T if isinstance(layer, nn.Linear) else weight


def _with_bias(layer: Any) -> torch.Tensor:
    """Weights and bias as one matrix, (in + 1, out)."""
    weights = _matrix(layer)
    bias = weights.new_zeros(weights.shape[1]) if layer.bias is None else layer.bias
    return torch.cat([weights, bias[None]]).float()


def _owner(base: nn.Module, name: str) -> Any:
    """The module of a tensor."""
    return base.get_submodule(name.rpartition(".")[0])
