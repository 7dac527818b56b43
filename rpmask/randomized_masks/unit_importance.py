"""The importance of what is drawn: a bank's weights are read, scored and summed over its units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from rpmask.errors import RpmaskError
from rpmask.masks.arrays import Bools, Scores
from rpmask.masks.mask import Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, WeightSource, tensor_digest
from rpmask.randomized_masks.importance import Statistics, score


@dataclass(eq=False)
class UnitReader:
    """Reads one bank at a time, and takes the digest of every tensor that passes."""

    source: WeightSource
    statistics: Mapping[str, Statistics]
    parent: Mask | None = None
    digests: dict[str, str] = field(default_factory=dict)

    def scores(self, bank: Bank, kinds: Iterable[str]) -> dict[str, Scores]:
        """Importance of each unit of the bank (units,), by kind."""
        weights = {tiling.tensor.name: self.load(tiling.tensor) for tiling in bank.tilings}
        found: dict[str, Scores] = {}
        for kind in kinds:
            parts: dict[str, NDArray[np.float32]] = {}
            for tensor in (tiling.tensor for tiling in bank.tilings):
                known = self.statistics.get(kind)
                statistic = None if known is None else known.tensors.get(tensor.name)
                parts[tensor.name] = score(
                    kind, weights[tensor.name], statistic, tensor=tensor
                ).numpy()
            found[kind] = bank.gather(parts).astype(np.float32, copy=False)
        return found

    def allowed(self, bank: Bank) -> Bools | None:
        """Which units the parent mask keeps (units,); None where it restricts nothing.

        A tensor the parent does not cover is dense in it.
        """
        parent = self.parent
        names = [tiling.tensor.name for tiling in bank.tilings]
        if parent is None or not any(name in parent.bits for name in names):
            return None
        bools = {
            tiling.tensor.name: parent.keep(tiling.tensor.name).numpy()
            if tiling.tensor.name in parent.bits
            else np.ones(tiling.tensor.shape, np.bool_)
            for tiling in bank.tilings
        }
        counts = bank.gather(bools)
        whole: Bools = counts == bank.unit_weights
        if np.any(~whole & (counts > 0)):
            raise RpmaskError(
                f"The parent mask cuts through units of '{bank.name}'.",
                "A mask of blocks, neurons or heads needs a parent of the same granularity.",
            )
        return whole

    def load(self, tensor: Prunable) -> torch.Tensor:
        """One tensor, if it is as the list of prunable tensors describes it."""
        weight = self.source.load(tensor.name)
        if tuple(weight.shape) != tensor.shape:
            raise RpmaskError(
                f"'{tensor.name}' has shape {tuple(weight.shape)}, expected {tensor.shape}.",
                "The weights are not those of this model.",
            )
        if tensor.name not in self.digests:
            self.digests[tensor.name] = tensor_digest(tensor.name, weight)
        return weight
