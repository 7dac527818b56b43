"""Curves of keep-probability by importance, as data for charts.

The probability is that of one draw, q = 1 - exp(-p t) of keep_probability.py; next to it is the number of
each bin's units that the mask keeps after all of the recipe's votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.arrays import Bools, Floats, Scores
from rpmask.masks.banks import plan_banks
from rpmask.masks.mask import Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, WeightSource
from rpmask.randomized_masks.importance import Statistics, UnitReader
from rpmask.randomized_masks.keep_probability import Histogram, solve_clock
from rpmask.records import MaskRecipe

BINS = 40
TAIL = 0.001  # share of units that may lie below the first bin, which counts them
REACH = 3.0  # most distance of the first bin below the cut, in multiples of the range above it


@dataclass(frozen=True, eq=False)
class KeepBins:
    """One bank's units by log10 importance. `keep` is NaN in an empty bin; zeros are counted separately."""

    name: str
    edges: Floats  # (bins + 1,)
    counts: NDArray[np.int64]  # (bins,)
    keep: Floats  # (bins,) mean probability that one draw keeps a unit
    kept: NDArray[np.int64]  # (bins,) units that the mask keeps
    zeros: int


def keep_bins(
    recipe: MaskRecipe,
    mask: Mask,
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics],
    parent: Mask | None = None,
    most: int = 4,
) -> list[KeepBins]:
    """The bins of a few banks, from the densest to the sparsest.

    n:m masks have none: their draws take n from every group, not k from the tensor.
    """
    banks = [bank for bank in plan_banks(recipe.granularity, tensors) if bank.group is None]
    reader = UnitReader(source, statistics, parent)
    found = []
    for bank in _spread_by_density(banks, mask, most):
        scores = reader.scores(bank, [recipe.importance])[recipe.importance]
        keeps = _units_kept(bank, mask)
        allowed = reader.allowed(bank)
        if allowed is not None:
            scores, keeps = scores[allowed], keeps[allowed]
        if np.any(scores > 0):
            found.append(_binned(bank.name, scores, keeps, recipe.temperature))
    return found


def _spread_by_density(banks: Sequence[Bank], mask: Mask, most: int) -> list[Bank]:
    def density(bank: Bank) -> float:
        names = [tiling.tensor.name for tiling in bank.tilings]
        # Rounded, so that counts that differ by a largest remainder are equal.
        return round(sum(map(mask.kept, names)) / sum(map(mask.total, names)), 3)

    ordered = sorted(
        banks, key=density, reverse=True
    )  # stable: equal densities stay in the model's order
    chosen = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)
    return [ordered[i] for i in chosen]


def _units_kept(bank: Bank, mask: Mask) -> Bools:
    """Which units the mask keeps (units,)."""
    kept = {tiling.tensor.name: mask.keep(tiling.tensor.name).numpy() for tiling in bank.tilings}
    return np.asarray(bank.gather(kept) > 0)


def _binned(name: str, scores: Scores, keeps: Bools, temperature: float) -> KeepBins:
    positive = scores > 0
    logs = np.log(scores[positive].astype(np.float64))
    chosen = int(np.count_nonzero(keeps))
    probability = _one_draw(scores, logs, chosen, temperature)
    edges = _edges(logs, min(chosen, logs.size))
    where = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(where, minlength=BINS)
    summed = np.bincount(where, weights=probability, minlength=BINS)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        keep = summed / counts
    return KeepBins(
        name=name,
        edges=edges / np.log(10),
        counts=counts,
        keep=keep,
        kept=np.bincount(where[keeps[positive]], minlength=BINS),
        zeros=int(scores.size - logs.size),
    )


def _edges(logs: Floats, kept: int) -> Floats:
    """Evenly spaced edges, not stretched by a few units of nearly no importance."""
    low, high = float(np.quantile(logs, TAIL)), float(logs.max())
    if kept > 0:
        cut = float(np.partition(logs, -kept)[-kept])
        low = max(low, cut - REACH * (high - cut)) if high > cut else low
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _one_draw(scores: Scores, logs: Floats, kept: int, temperature: float) -> NDArray[Any]:
    """Keep-probability of every positive unit; 0 or 1 where there is nothing to choose."""
    if kept >= logs.size:
        return np.ones_like(logs)
    if kept == 0:
        return np.zeros_like(logs)
    if temperature == 0.0:
        return (logs >= np.partition(logs, -kept)[-kept]).astype(np.float64)
    clock = solve_clock(Histogram.of(np.ascontiguousarray(scores)), kept, temperature)
    return clock.probability(logs)
