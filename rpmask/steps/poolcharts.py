"""The charts of a pool: what was drawn from, how the masks overlap, where the control is dense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, WeightSource
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.keep_curves import keep_bins
from rpmask.records import Pool

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart


@dataclass(frozen=True)
class Drawing:
    """A pool, its masks, and everything they were drawn from."""

    pool: Pool
    masks: Sequence[Mask]
    source: WeightSource
    tensors: tuple[Prunable, ...]
    statistics: Mapping[str, Statistics]
    parent: Mask | None


def pool_charts(drawing: Drawing) -> list[Chart]:
    """Overlap, the control's density, and a keep-probability chart for every centre with noise."""
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    pool, masks = drawing.pool, drawing.masks
    matrix = np.array([[mine.overlap(other) for other in masks] for mine in masks])
    return [
        Chart(
            "overlap",
            "How near the masks lie to each other.",
            charts.overlaps(matrix, pool),
        ),
        Chart(
            "density-control",
            "What the control keeps of every tensor.",
            charts.density(pool, pool.control),
        ),
        *_keep_charts(drawing),
    ]


def _keep_charts(drawing: Drawing) -> Iterator[Chart]:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    for name, index in _first_with_noise(drawing.pool).items():
        recipe = drawing.pool.candidates[index].recipe
        bins = keep_bins(
            recipe,
            drawing.masks[index],
            drawing.source,
            drawing.tensors,
            statistics=drawing.statistics,
            parent=drawing.parent,
        )
        if not bins:  # n:m draws within groups, not within the tensor
            continue
        shown = charts.label(drawing.pool.candidates[index], index)
        yield Chart(
            f"keep-{name}",
            "What was drawn from: a few tensors, from the one kept densest to the sparsest.",
            charts.keep_probability(bins, what=shown),
        )


def _first_with_noise(pool: Pool) -> dict[str, int]:
    """For each centre the first candidate drawn at random around it, by the centre's name."""
    found: dict[str, int] = {}
    for index, candidate in enumerate(pool.candidates):
        recipe = candidate.recipe
        if not recipe.deterministic:
            blend = {0.0: "uniform", 1.0: "global"}.get(recipe.allocation)
            found.setdefault(f"{recipe.importance}-{blend or f'{recipe.allocation:g}'}", index)
    return found
