"""What is kept or dropped as one: single weights, n of m, blocks, neurons, heads.

Every granularity is a tiling of matrices, and the same sampler runs over tiles, whose importance is the
sum over their weights. Sparsity counts units of the tensors that the granularity covers:

weight      every weight is a unit
n:m         every weight is a unit, n of m consecutive ones along the input axis are kept
block RxC   R output units by C input units
neuron      a feed-forward neuron: its row of the up-projection and its column of the down-projection
head        an attention head: its rows of query, key and value, its columns of the output

`neuron` and `head` leave all other tensors dense and out of the mask. Biases are not masked: an
export that removes a neuron or head drops its biases with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rpmask.errors import RpmaskError
from rpmask.masks.structure import head_banks, neuron_banks
from rpmask.masks.tiling import Bank, Tiling
from rpmask.masks.weights import Prunable


@dataclass(frozen=True)
class Granularity:
    """A parsed granularity; `first` and `second` are n and m, or a block's rows and columns."""

    kind: str
    first: int = 1
    second: int = 1


def parse_granularity(text: str) -> Granularity:
    """Read `weight`, `2:4`, `block 4x4`, `neuron` or `head`."""
    if text in ("weight", "neuron", "head"):
        return Granularity(text)
    if found := re.fullmatch(r"(\d{1,4}):(\d{1,4})", text):
        kept, size = int(found[1]), int(found[2])
        if not 0 < kept < size:
            raise RpmaskError(
                f"The granularity '{text}' keeps {kept} of {size}.", "Write it like 2:4: n below m."
            )
        return Granularity("n:m", kept, size)
    if found := re.fullmatch(r"block (\d{1,6})x(\d{1,6})", text):
        rows, columns = int(found[1]), int(found[2])
        if rows < 1 or columns < 1:
            raise RpmaskError(
                f"The granularity '{text}' has an empty block.", "Write it like 'block 4x4'."
            )
        return Granularity("block", rows, columns)
    raise RpmaskError(
        f"There is no granularity '{text}'.",
        "Choose weight, n:m (like 2:4), 'block RxC' (like 'block 4x4'), neuron or head.",
    )


def plan_banks(text: str, tensors: Sequence[Prunable]) -> tuple[Bank, ...]:
    """The banks a granularity draws from; an error if a tensor does not divide into its tiles."""
    granularity = parse_granularity(text)
    if granularity.kind == "neuron":
        return neuron_banks(tensors)
    if granularity.kind == "head":
        return head_banks(tensors)
    return tuple(_bank_of(granularity, tensor) for tensor in tensors)


def _bank_of(granularity: Granularity, tensor: Prunable) -> Bank:
    if granularity.kind == "weight":
        return Bank(tensor.name, (Tiling(tensor),))
    outputs, inputs = tensor.shape[tensor.output_axis], tensor.shape[tensor.input_axis]
    if granularity.kind == "n:m":
        _check_divides(tensor, "inputs", inputs, granularity.second)
        return Bank(tensor.name, (Tiling(tensor),), (granularity.first, granularity.second))
    _check_divides(tensor, "outputs", outputs, granularity.first)
    _check_divides(tensor, "inputs", inputs, granularity.second)
    return Bank(tensor.name, (Tiling(tensor, granularity.first, granularity.second),))


def _check_divides(tensor: Prunable, what: str, size: int, part: int) -> None:
    if size % part:
        raise RpmaskError(
            f"The {size} {what} of '{tensor.name}' {tensor.shape} do not divide by {part}.",
            "Choose a granularity that divides it, or exclude the tensor.",
        )
