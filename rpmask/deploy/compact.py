"""Form `compact`: smaller matrices, without the neurons and heads that contribute nothing.

A neuron or head contributes nothing if its columns in the matrix that reads it are all zero. Its rows and
biases can then be removed without changing the logits. If every feed-forward block keeps the same number
of neurons and no head is removed, a smaller config.json describes the model and transformers alone can read
it (`standard`); otherwise rpmask's loader cuts the modules to the shapes in the file.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from rpmask.deploy import dense
from rpmask.deploy.build import empty_model, fill, read_tensors, stored_state
from rpmask.deploy.manifest import damaged
from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.heads.head import Head
from rpmask.masks.arrays import Bools
from rpmask.masks.banks import head_banks, neuron_banks
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import base_of, find_prunable, is_matrix

FILE = "compact.safetensors"
FORMAT = "rpmask.compact"
# Names of the width of the feed-forward block in configurations.
WIDTHS = ("intermediate_size", "hidden_dim", "n_inner")
# Attributes of attention modules that repeat the shapes of their weights.
HEAD_COUNTS = ("num_attention_heads", "num_heads", "n_heads")
HEAD_SIZES = ("all_head_size", "split_size")


@dataclass(frozen=True)
class Cut:
    """How many neurons and heads were removed."""

    neurons: int
    all_neurons: int
    heads: int
    all_heads: int

    def __str__(self) -> str:
        return (
            f"{self.neurons:,} of {self.all_neurons:,} neurons and {self.heads} of "
            f"{self.all_heads} heads removed"
        )


def write(model: Any, folder: Path) -> tuple[Cut, bool]:
    """Cut a copy of the model and write it; what was removed, and whether transformers alone reads it."""
    smaller, cut = shrink(model)
    standard = _standard_config(model, smaller) if cut.heads == 0 else None
    if standard is not None:
        smaller.config = standard
        dense.write(smaller, folder)
        return cut, True
    smaller.config.save_pretrained(folder)
    write_whole(folder / FILE, save(stored_state(smaller), {"format": FORMAT}))
    return cut, False


def read(folder: Path, head: Head, standard: bool) -> nn.Module:
    """Read the smaller model."""
    if standard:
        return dense.read(folder, head)
    path = folder / FILE
    metadata, state = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise damaged(path, "it is not a compact model")
    model = empty_model(folder, head)
    heads = _banks(model)[1]  # before the shapes change
    for name, module in model.named_modules():
        weight = state.get(f"{name}.weight")
        if is_matrix(module) and weight is not None and weight.shape != module.weight.shape:
            if weight.ndim != 2 or min(weight.shape) < 1:
                raise damaged(path, f"'{name}' has the shape {tuple(weight.shape)}")
            _resize(module, weight, state.get(f"{name}.bias"))
    fill(model, state, path)
    for bank in heads:
        _count_heads(model, bank)
    return model


def shrink(model: nn.Module) -> tuple[Any, Cut]:
    """A copy without the neurons and heads that contribute nothing."""
    neurons, heads = _banks(model)
    smaller = copy.deepcopy(model).cpu().eval()
    kept_neurons = [_alive(model, bank) for bank in neurons]
    kept_heads = [_alive(model, bank) for bank in heads]
    cut = Cut(
        sum(int((~alive).sum()) for alive in kept_neurons),
        sum(alive.size for alive in kept_neurons),
        sum(int((~alive).sum()) for alive in kept_heads),
        sum(alive.size for alive in kept_heads),
    )
    if cut.neurons + cut.heads == 0:
        raise RpmaskError(
            "Every neuron and head of this model contributes to its logits: none can be removed.",
            "Draw the mask with --granularity neuron or head; for single weights export packed or csr.",
        )
    for bank, alive in zip((*neurons, *heads), (*kept_neurons, *kept_heads), strict=True):
        _cut(smaller, bank, alive)
    for bank in heads:
        _count_heads(smaller, bank)
    return smaller, cut


def _banks(model: nn.Module) -> tuple[tuple[Bank, ...], tuple[Bank, ...]]:
    """Feed-forward blocks and attention layers; none if the names of the model's modules are unknown."""
    tensors = find_prunable(model, ("*",))
    found: list[tuple[Bank, ...]] = []
    for banks_of in (neuron_banks, head_banks):
        try:
            found.append(banks_of(tensors))
        except RpmaskError:
            found.append(())
    return found[0], found[1]


def _alive(model: nn.Module, bank: Bank) -> Bools:
    """Units that the last tiling's columns read, at least one: (units,)."""
    reader = bank.tilings[-1]
    weight = base_of(model).get_parameter(reader.tensor.name).detach().cpu().float().numpy()
    alive: Bools = reader.sum(np.abs(weight)) > 0
    if not alive.any():
        alive[0] = True  # a layer needs at least one unit
    return alive


def _cut(model: nn.Module, bank: Bank, alive: Bools) -> None:
    *writers, reader = bank.tilings
    base = base_of(model)
    for tiling in writers:
        module: Any = base.get_submodule(tiling.tensor.name.rpartition(".")[0])
        places = _places(np.repeat(np.tile(alive, tiling.repeats), tiling.rows))
        weight = module.weight.index_select(tiling.tensor.output_axis, places)
        bias = None if module.bias is None else module.bias.index_select(0, places)
        _resize(module, weight, bias)
    module = base.get_submodule(reader.tensor.name.rpartition(".")[0])
    places = _places(np.repeat(alive, reader.columns))
    weight = module.weight.index_select(reader.tensor.input_axis, places)
    _resize(module, weight, module.bias)


def _places(flags: NDArray[np.bool_]) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(flags))


def _resize(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Give a module a weight of another shape, and update the attributes that repeat it."""
    module.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    else:
        module.nx, module.nf = weight.shape


def _count_heads(model: nn.Module, bank: Bank) -> None:
    """Set the number of heads in attention modules that store it."""
    first = bank.tilings[0]
    base: Any = base_of(model)
    path = first.tensor.name.rpartition(".")[0]
    attention = base.get_submodule(path.rpartition(".")[0])
    weight = base.get_submodule(path).weight
    size = weight.shape[first.tensor.output_axis] // first.repeats
    for name in HEAD_COUNTS:
        if isinstance(getattr(attention, name, None), int):
            setattr(attention, name, size // first.rows)
    for name in HEAD_SIZES:
        if isinstance(getattr(attention, name, None), int):
            setattr(attention, name, size)


def _standard_config(model: Any, smaller: Any) -> Any:
    """A configuration whose model has exactly the smaller shapes, if there is one."""
    banks = _banks(model)[0]
    name = banks[0].tilings[-1].tensor.name if banks else ""
    axis = banks[0].tilings[-1].tensor.input_axis if banks else 0
    width = base_of(smaller).get_parameter(name).shape[axis]
    config = copy.deepcopy(model.config)
    for attribute in WIDTHS:
        if hasattr(config, attribute):
            setattr(config, attribute, width)
    with torch.device("meta"):
        expected = type(model)(config).state_dict()
    found = smaller.state_dict()
    same = set(expected) == set(found) and all(
        expected[key].shape == found[key].shape for key in found
    )
    return config if same else None
