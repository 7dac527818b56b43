"""Refit the kept weights before a training: least squares against the answers of the dense matrices.

Matrix by matrix, in the order in which the model uses them, the kept weights are fitted so that they give,
from the inputs in the pruned and so far refitted model, what the whole matrix gives in the dense model. Each
output unit is a small system of its own, whose unknowns are its kept weights and its bias; a ridge pulls them
to the values they had. Optimal Brain Surgeon does this layer by layer (Hassibi and Stork, 1993; Dong et al.,
arXiv 1705.07565); here each layer is solved at once, with the inputs of the pruned model.

A mask can be tightened on the way. Each matrix is then refitted, cut by its new weights and the inputs that
it has in the pruned model, and refitted again, before the matrices after it are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.masks.masked import masked_parameters
from rpmask.masks.weights import base_of, block_of
from rpmask.train.batches import calibration_rows, real_rows
from rpmask.train.block_passes import (
    Batches,
    Passes,
    inputs_in,
    merged,
    owner_of,
    used_together,
    watching,
)
from rpmask.train.least_squares import gram_matrix, solve_kept
from rpmask.train.memory import give_own, move_to_file, sharing
from rpmask.train.observer import Observer

ROWS = 60  # per batch. Not divisible by 8, so batch and token axes stay distinguishable


@dataclass(frozen=True)
class Refitted:
    """The number of matrices that were refitted, and the mask after it."""

    matrices: int
    mask: Mask


# What a matrix still keeps, from its name, its scores and what it kept, all (out, in).
Cut = Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor]


def refit_batches(data: Split, rows: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """The model's inputs for this many rows, without labels, rows of similar length together."""
    chosen = calibration_rows(len(data), rows, seed)
    chosen = chosen[np.argsort(data.lengths[chosen], kind="stable")]
    size = data.at_once(ROWS)
    batches = [data.batch(chosen[i : i + size]) for i in range(0, len(chosen), size)]
    return [{k: v for k, v in batch.items() if k != "labels"} for batch in batches]


def refit(
    model: nn.Module,
    mask: Mask,
    batches: Batches,
    observer: Observer,
    cut: Cut | None = None,
    folder: Path | None = None,
) -> Refitted:
    """Mask the model and refit the matrices that a forward pass uses once.

    A matrix is a Linear or a Conv1D weight. Convolutions, and matrices shared by several places, are masked
    and keep their values, and there must be none if the mask is cut. The dense model shares the memory of
    what has not been refitted yet. With a folder, finished blocks are written there and read from the file:
    of a model that was read from a file too, only one block is in memory.
    """
    parameters = masked_parameters(model, mask)
    original = sharing(model).eval()
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = [{name: value.to(device) for name, value in batch.items()} for batch in batches]
    whole = merged(batches)
    with torch.no_grad():
        groups = used_together(model, mask.names, batches[0])
    blocks = [block_of(group[0]) for group in groups]
    with (
        torch.no_grad(),
        Passes(original, whole, blocks) as dense,
        Passes(model, whole, blocks) as pruned,
    ):
        others = sorted(set(mask.names) - {name for group in groups for name in group})
        if cut is not None and others:
            raise RpmaskError(
                f"The mask can be tightened only by training: '{others[0]}' cannot be refitted.",
                "Give --epochs a number above 0, or draw masks at the final sparsity.",
            )
        keeps = _Keeps(mask, cut)
        for name in others:
            give_own(parameters[name], mask.keep(name))
        done = 0
        for block, part in groupby(zip(blocks, groups, strict=True), key=itemgetter(0)):
            own = [group for _, group in part]
            names = [name for group in own for name in group]
            for name in names:
                give_own(parameters[name], mask.keep(name))
                if (bias := owner_of(base_of(model), name).bias) is not None:
                    give_own(bias)
            outputs = _refit_block(dense, pruned, keeps, block, own)
            if folder is not None:
                move_to_file({name: parameters[name] for name in names}, folder)
            done += len(own)
            if block not in blocks[done:]:
                dense.replay(block, outputs[0])
                pruned.replay(block, outputs[1])
            observer.progress(done, len(groups), "refit")
    model.train(training)
    after = mask if cut is None else Mask.from_bools(keeps.after)
    return Refitted(sum(len(group) for group in groups), after)


@dataclass(frozen=True)
class _Keeps:
    """The mask before its cut, what cuts it, and what each matrix keeps after that, in its shape."""

    mask: Mask
    cut: Cut | None
    after: dict[str, torch.Tensor] = field(default_factory=dict)


def _refit_block(
    dense: Passes, pruned: Passes, keeps: _Keeps, block: str, groups: list[list[str]]
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
            equations.solve(dense, pruned, keeps, group)
        return [call() for call in before], [call() for call in now]
    wanted: dict[str, torch.Tensor] = {}
    with watching(dense.base, list(firsts), wanted.__setitem__):
        answers = before[0]()

    def arrived(name: str, inputs: torch.Tensor) -> None:
        equations = _Equations(_width(pruned, name))
        equations.add(wanted.pop(name, None), inputs, real[0])
        equations.solve(dense, pruned, keeps, firsts[name])

    with watching(pruned.base, list(firsts), arrived):
        return [answers], [now[0]()]


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
        self._gram = self._gram.to(now) + gram_matrix(now)
        self._cross = self._cross.to(now) + now.T @ _with_ones(before, real)

    def solve(self, dense: Passes, pruned: Passes, keeps: _Keeps, group: list[str]) -> None:
        """Refit the matrices of a group, and cut each and refit it again if the mask is tightened."""
        if not bool(self._gram.isfinite().all() and self._cross.isfinite().all()):
            if keeps.cut is None:
                return  # the loss will not be finite either, and stops the training
            raise RpmaskError(
                f"'{group[0]}' has inputs that are not finite, so its mask cannot be tightened.",
                "Look for weights that are not finite.",
            )
        for name in group:
            layer, original = owner_of(pruned.base, name), _with_bias(owner_of(dense.base, name))
            turned = not isinstance(layer, nn.Linear)
            keep = keeps.mask.keep(name)
            by_unit = keep.T if turned else keep
            gram, cross = self._gram.to(original.device), self._cross.to(original.device)
            target, biased = cross @ original, layer.bias is not None
            rough = keeps.cut is not None
            solved = solve_kept(gram, target, original, by_unit, biased, rough=rough)
            if keeps.cut is not None:
                norms = gram.diagonal()[:-1].sqrt()
                scores = solved[:-1].T.abs() * (norms if bool(norms.any()) else 1.0)
                by_unit = keeps.cut(name, scores.cpu(), by_unit)
                keeps.after[name] = by_unit.T if turned else by_unit
                solved = solve_kept(gram, target, original, by_unit, biased, guess=solved)
            _matrix(layer).copy_(solved[:-1])
            if layer.bias is not None:
                layer.bias.copy_(solved[-1])


def _width(side: Passes, name: str) -> int:
    """Inputs of a matrix, and the bias."""
    return len(_matrix(owner_of(side.base, name))) + 1


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
