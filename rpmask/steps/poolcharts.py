"""The charts of a pool: the overlap of its masks, the control's density, and the keep-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, WeightSource
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.keep_curves import keep_bins
from rpmask.records import Pool
from rpmask.words import ALLOCATION_WORDS

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart


def pool_charts(
    pool: Pool,
    masks: Sequence[Mask],
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics],
    parent: Mask | None,
) -> list[Chart]:
    """Draw the charts, with one of keep-probabilities per importance and allocation that was sampled."""
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    matrix = np.array([[mine.overlap(other) for other in masks] for mine in masks])  # (K, K)
    drawn = [
        Chart(
            "overlap",
            "The share of kept weights that two masks have in common.",
            charts.overlaps(matrix, pool),
        ),
        Chart(
            "density-control",
            "The share of weights that the control keeps in every tensor.",
            charts.density(pool, pool.control),
        ),
    ]
    for name, index in _first_sampled(pool).items():
        candidate = pool.candidates[index]
        bins = keep_bins(
            candidate.recipe,
            masks[index],
            source,
            tensors,
            statistics=statistics,
            parent=parent,
        )
        if bins:  # none for n:m masks, which are drawn within groups instead of tensors
            caption = "A few tensors, from the one with the highest density to the lowest."
            figure = charts.keep_probability(bins, what=charts.label(candidate, index))
            drawn.append(Chart(f"keep-{name}", caption, figure))
    return drawn


def _first_sampled(pool: Pool) -> dict[str, int]:
    """The first candidate with randomness for every importance and allocation, by their names."""
    found: dict[str, int] = {}
    for index, candidate in enumerate(pool.candidates):
        recipe = candidate.recipe
        if not recipe.deterministic:
            blend = ALLOCATION_WORDS.get(recipe.allocation)
            found.setdefault(f"{recipe.importance}-{blend or f'{recipe.allocation:g}'}", index)
    return found
