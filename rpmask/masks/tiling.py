"""Tensors divided into units that are kept or dropped as a whole.

A bank holds the tensors whose tiles are drawn together: tile i of each of its tilings is a part of unit i.
Single weights are tiles of one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.arrays import Bools, Floats
from rpmask.masks.weights import Prunable


@dataclass(frozen=True)
class Tiling:
    """One tensor as a matrix (outputs, inputs) of tiles of rows x columns.

    `repeats` matrices stacked along the outputs share their tiles, as query, key and value in one tensor do.
    """

    tensor: Prunable
    rows: int = 1
    columns: int = 1
    repeats: int = 1

    @property
    def matrix(self) -> tuple[int, int]:
        return self.tensor.outputs, self.tensor.numel // self.tensor.outputs

    @property
    def units(self) -> int:
        outputs, inputs = self.matrix
        return outputs // self.rows * (inputs // self.columns) // self.repeats

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum of values over each unit: (units,)."""
        flat = np.moveaxis(values, *self._axes).reshape(self.matrix)
        if self.rows == self.columns == self.repeats == 1:
            return flat.reshape(-1)
        outputs, inputs = self.matrix
        tiles = flat.reshape(outputs // self.rows, self.rows, inputs // self.columns, self.columns)
        sums: Floats = tiles.sum(axis=(1, 3), dtype=np.float64)
        return sums.reshape(self.repeats, self.units).sum(axis=0)

    def spread(self, keep: Bools) -> Bools:
        """Expand one boolean per unit to one per weight, in the tensor's shape."""
        outputs, inputs = self.matrix
        down, across = outputs // self.rows, inputs // self.columns
        tiles = np.broadcast_to(keep, (self.repeats, keep.size)).reshape(down, 1, across, 1)
        full = np.broadcast_to(tiles, (down, self.rows, across, self.columns))
        source, target = self._axes
        # from (out, ..., in), the axes of the matrix, back to the stored order
        moved = np.moveaxis(np.empty(self.tensor.shape, np.bool_), source, target).shape
        return np.moveaxis(full.reshape(moved), target, source)

    @property
    def _axes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.tensor.output_axis, self.tensor.input_axis), (0, -1)


@dataclass(frozen=True)
class Bank:
    """Tensors whose units are drawn together. The name, a tensor's or a layer's, is the random stream's."""

    name: str
    tilings: tuple[Tiling, ...]
    group: tuple[int, int] | None = None  # (n, m)

    @property
    def units(self) -> int:
        return self.tilings[0].units

    @property
    def rows(self) -> int:
        """Rows of units, of a bank of one tensor."""
        (tiling,) = self.tilings
        return tiling.tensor.outputs // tiling.rows

    @property
    def unit_weights(self) -> int:
        return sum(tiling.tensor.numel for tiling in self.tilings) // self.units

    def gather(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Sum of values over each unit, across the bank's tensors: (units,)."""
        parts = [tiling.sum(values[tiling.tensor.name]) for tiling in self.tilings]
        return parts[0] if len(parts) == 1 else np.sum(parts, axis=0)

    def spread(self, keep: Bools) -> dict[str, Bools]:
        """Expand one boolean per unit to one per weight, for every tensor of the bank."""
        return {tiling.tensor.name: tiling.spread(keep) for tiling in self.tilings}
