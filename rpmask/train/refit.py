"""Refit the kept weights before a training: least squares against the answers of the dense matrices.

Matrix by matrix, in the order in which the model uses them, the kept weights are fitted so that they give,
from the inputs in the pruned and so far refitted model, what the whole matrix gives in the dense model. Each
output unit is a small system of its own, whose unknowns are its kept weights and its bias; a ridge pulls them
to the values they had. Optimal Brain Surgeon does this layer by layer (Hassibi and Stork, 1993; Dong et al.,
arXiv 1705.07565); here each layer is solved at once, with the inputs of the pruned model.
"""

from __future__ import annotations

import copy
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, block_of, is_matrix
from rpmask.train.batches import calibration_rows, real_rows
from rpmask.train.block_passes import Batches, Passes, inputs_in, merged, watching
from rpmask.train.least_squares import solve_kept
from rpmask.train.observer import Observer

ROWS = 60  # per batch. Not divisible by 8, so batch and token axes stay distinguishable


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
    whole = merged(batches)
    with torch.no_grad(), Passes(original, whole) as dense, Passes(model, whole) as pruned:
        groups = _groups(model, mask, batches[0])
        blocks = [block_of(group[0]) for group in groups]
        done = 0
        for block, part in groupby(zip(blocks, groups, strict=True), key=itemgetter(0)):
            own = [group for _, group in part]
            outputs = _refit_block(dense, pruned, mask, block, own)
            done += len(own)
            if block not in blocks[done:]:
                dense.replay(block, outputs[0])
                pruned.replay(block, outputs[1])
            observer.progress(done, len(groups), "refit")
    hold.apply()
    model.train(training)
    return sum(len(group) for group in groups)


def _refit_block(
    dense: Passes, pruned: Passes, mask: Mask, block: str, groups: list[list[str]]
) -> tuple[list[Any], list[Any]]:
    """Refit the matrices of a block, and return its outputs for all batches: dense, and pruned.

    With one batch, a single pass of the pruned block does: each matrix is refitted when the pass arrives at
    it. Otherwise a pass of every batch ends at each group of matrices.
    """
    firsts = {group[0]: group for group in groups}
    before, now = dense.calls(block), pruned.calls(block)
    real = [batch.get("attention_mask") for batch in pruned.batches]
    if len(now) > 1:
        for name, group in firsts.items():
            equations = _Equations(_width(pruned, name))
            for index, row in enumerate(real):
                sides = ((dense, before), (pruned, now))
                given = [inputs_in(calls[index], side.base, [name]) for side, calls in sides]
                equations.add(given[0].get(name), given[1].get(name), row)
            equations.solve(dense, pruned, mask, group)
        return [call() for call in before], [call() for call in now]
    wanted: dict[str, torch.Tensor] = {}
    with watching(dense.base, list(firsts), wanted.__setitem__):
        answers = before[0]()

    def arrived(name: str, inputs: torch.Tensor) -> None:
        equations = _Equations(_width(pruned, name))
        equations.add(wanted.pop(name, None), inputs, real[0])
        equations.solve(dense, pruned, mask, firsts[name])

    with watching(pruned.base, list(firsts), arrived):
        return [answers], [now[0]()]


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


class _Equations:
    """The normal equations of matrices with the same input, summed over batches."""

    def __init__(self, width: int) -> None:
        self._gram = torch.zeros(width, width)
        self._cross = torch.zeros(width, width)

    def add(
        self, before: torch.Tensor | None, now: torch.Tensor | None, real: torch.Tensor | None
    ) -> None:
        """Add a batch's inputs in the dense and in the pruned model, if both have them.

        The model may choose its path by the row; without any input the ridge keeps the values.
        """
        if before is None or now is None or before.shape != now.shape:
            return
        now = _with_ones(now, real)
        self._gram = self._gram.to(now) + now.T @ now
        self._cross = self._cross.to(now) + now.T @ _with_ones(before, real)

    def solve(self, dense: Passes, pruned: Passes, mask: Mask, group: list[str]) -> None:
        """Refit the matrices of a group."""
        if not bool(self._gram.isfinite().all() and self._cross.isfinite().all()):
            return  # the loss will not be finite either, and stops the training
        for name in group:
            layer, original = _owner(pruned.base, name), _with_bias(_owner(dense.base, name))
            keep = mask.keep(name)
            by_unit = keep if isinstance(layer, nn.Linear) else keep.T
            gram, cross = self._gram.to(original.device), self._cross.to(original.device)
            solved = solve_kept(gram, cross @ original, original, by_unit, layer.bias is not None)
            _matrix(layer).copy_(solved[:-1])
            if layer.bias is not None:
                layer.bias.copy_(solved[-1])


def _width(side: Passes, name: str) -> int:
    """Inputs of a matrix, and the bias."""
    return len(_matrix(_owner(side.base, name))) + 1


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
