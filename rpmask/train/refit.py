"""Give the kept weights the values that do best without the dropped ones, before anything is trained.

Matrix by matrix, in the order in which the model uses them: least squares between what the whole matrix
answers in the model as it was and what the kept weights can make of the inputs that reach it in the model
refitted so far. Each output unit is a small system of its own, whose unknowns are its kept weights and its
bias; a ridge pulls them to the values they had. This is what Optimal Brain Surgeon does layer by layer
(Hassibi and Stork, 1993; Dong et al., arXiv 1705.07565), solved at once, with the inputs of the pruned model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, is_matrix
from rpmask.train.batches import Split, calibration_rows, real_rows
from rpmask.train.least_squares import solve_kept
from rpmask.train.observer import Observer

ROWS = 60  # of a batch: no multiple of eight, as tokens are, so that one is not taken for the other

Batches = Sequence[dict[str, torch.Tensor]]


def refit_batches(data: Split, rows: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """What the model is given for this many rows, without labels; those of a length are together."""
    chosen = calibration_rows(len(data), rows, seed)
    chosen = chosen[np.argsort(data.lengths[chosen], kind="stable")]
    batches = [data.batch(chosen[i : i + ROWS]) for i in range(0, len(chosen), ROWS)]
    return [{k: v for k, v in batch.items() if k != "labels"} for batch in batches]


def refit(model: nn.Module, mask: Mask, batches: Batches, observer: Observer) -> int:
    """Mask the model and refit the matrices that each batch passes once; says how many they are.

    A matrix is a Linear or a Conv1D weight. Others are masked and keep their values: convolutions, and
    matrices that several places share.
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
    with torch.no_grad(), _Passes(original, batches) as given, _Passes(model, batches) as reached:
        groups = _groups(model, mask, batches[0])
        blocks = [_block(group[0]) for group in groups]
        for done, (group, block) in enumerate(zip(groups, blocks, strict=True), start=1):
            _refit_group(given, reached, mask, group)
            if block not in blocks[done:]:
                given.leave_out(block)
                reached.leave_out(block)
            observer.progress(done, len(groups), "refit")
    hold.apply()
    model.train(training)
    return sum(len(group) for group in groups)


class _Reached(Exception):
    """Everything that a forward pass was for has been seen."""


def _groups(model: nn.Module, mask: Mask, batch: dict[str, torch.Tensor]) -> list[list[str]]:
    """The matrices in the order of their use; those that are given the very same input together."""
    used: list[tuple[str, torch.Tensor]] = []
    base = base_of(model)
    matrices = [name for name in mask.names if is_matrix(_owner(base, name))]

    def noted(name: str, seen: torch.Tensor) -> None:
        used.append((name, seen))

    with _watching(base, matrices, noted):
        model(**batch)
    names = [name for name, _ in used]
    groups: list[list[str]] = []
    before = None
    for name, seen in used:
        if names.count(name) > 1:
            continue
        if seen is before:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = seen
    return groups


class _Passes:
    """Forward passes of one model over the batches, without the blocks that nothing changes any more.

    A block that is left out answers what it answered last. The blocks of a list come one after another, so
    only the answer of the last of them is ever read, and is what all of them give.
    """

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        self.base, self.batches = base_of(model), batches
        self._model = model
        self._index = 0
        self._answers: dict[str, list[Any]] = {}
        self._left_out: list[nn.Module] = []

    def __enter__(self) -> _Passes:
        return self

    def __exit__(self, *_: object) -> None:
        for block in self._left_out:
            del block.forward

    def owner(self, name: str) -> Any:
        """The module of a tensor."""
        return _owner(self.base, name)

    def input_of(self, name: str, index: int) -> torch.Tensor | None:
        """What a matrix is given of a batch, if the batch comes by."""
        found: list[torch.Tensor] = []

        def noted(_: str, seen: torch.Tensor) -> None:
            found.append(seen)
            raise _Reached

        self._index = index
        with _watching(self.base, [name], noted), suppress(_Reached):
            self._model(**self.batches[index])
        return found[0] if found else None

    def leave_out(self, name: str) -> None:
        """Keep what a block answers, and leave it out from now on; a list of blocks answers nothing."""
        block = self.base.get_submodule(name)
        if isinstance(block, nn.ModuleList):
            return
        siblings, _, number = name.rpartition(".")
        place = siblings if number.isdecimal() else name
        self._answers[place] = [self._answer(block, i) for i in range(len(self.batches))]
        block.forward = lambda *_, **__: self._answers[place][self._index]
        self._left_out.append(block)

    def _answer(self, block: nn.Module, index: int) -> Any:
        found: list[Any] = []

        def noted(_: nn.Module, __: Any, answer: Any) -> None:
            found.append(answer)
            raise _Reached

        self._index = index
        handle = block.register_forward_hook(noted)
        with suppress(_Reached):
            self._model(**self.batches[index])
        handle.remove()
        return found[0]


def _block(name: str) -> str:
    """The block that a tensor is of: up to the first number in its name, or else the module itself."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts) - 2)
    return ".".join(parts[: number + 1])


def _refit_group(given: _Passes, reached: _Passes, mask: Mask, group: list[str]) -> None:
    layers = {name: reached.owner(name) for name in group}
    originals = {name: given.owner(name) for name in group}
    width = len(_matrix(layers[group[0]])) + 1
    device = layers[group[0]].weight.device
    gram = torch.zeros(width, width, device=device)
    answers = {
        name: torch.zeros(width, _matrix(layer).shape[1], device=device)
        for name, layer in layers.items()
    }
    for index, batch in enumerate(given.batches):
        real = batch.get("attention_mask")
        before, now = (side.input_of(group[0], index) for side in (given, reached))
        if before is None or now is None or before.shape != now.shape:
            continue  # the model itself decides what comes here; without any, the ridge keeps the values
        before, now = _extended(before, real), _extended(now, real)
        gram += now.T @ now
        for name, original in originals.items():
            answers[name] += now.T @ (before @ _with_bias(original))
    if not all(bool(sums.isfinite().all()) for sums in (gram, *answers.values())):
        return  # nothing to solve; the loss will be no number either, and is judged for it
    # Few of these fit a GPU better than a CPU, and not every device has doubles.
    gram = gram.cpu().double()
    for name, layer in layers.items():
        target = answers[name].cpu().double()
        start = _with_bias(originals[name]).cpu().double()
        keep = mask.keep(name)
        by_unit = keep if isinstance(layer, nn.Linear) else keep.T
        solved = solve_kept(gram, target, start, by_unit, layer.bias is not None)
        _matrix(layer).copy_(solved[:-1])
        if layer.bias is not None:
            layer.bias.copy_(solved[-1])


@contextmanager
def _watching(base: nn.Module, names: Sequence[str], noted: Any) -> Iterator[None]:
    """Tell `noted` the input of each of these matrices when it is used."""
    handles = [
        _owner(base, name).register_forward_pre_hook(
            lambda _, arguments, name=name: noted(name, arguments[0])
        )
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _extended(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
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
    return base.get_submodule(name.rpartition(".")[0])
