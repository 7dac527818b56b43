"""The overlap of every two masks of a pool: the share of kept weights they have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rpmask.charts import style
from rpmask.charts.heat_map import heat_map
from rpmask.records import Pool


@style.styled
def overlaps(matrix: NDArray[np.floating[Any]], pool: Pool) -> Figure:
    """The lower triangle of a matrix of overlaps between 0 and 1, of shape (K, K)."""
    k = len(pool.candidates)
    title = f"Overlap of {k} masks: {style.level_name(pool.task, pool.level, pool.sparsity)}"
    below = np.tril(np.ones((k, k), dtype=bool), -1)
    values = 100 * np.where(below, matrix, np.nan)  # (K, K)
    pairs = values[np.isfinite(values)]
    if not pairs.size:
        return style.note(title, "There are not two masks to compare.")
    low, high = float(pairs.min()), float(pairs.max())
    figure = style.framed(
        min(max(0.28 * k, 1.0), 9) + 0.5,
        title,
        "kept weights that two masks have in common, as a share of the weights each of them keeps",
        description=f"{title}. Pairs share {low:.2f}% to {high:.2f}% of their kept weights, "
        f"{pairs.mean():.2f}% on average.",
    )
    axes = heat_map(
        figure,
        values,
        Normalize(low, high) if high > low else Normalize(low - 1, low + 1),
        rows=[style.label(candidate, i) for i, candidate in enumerate(pool.candidates)],
        unit="in common (%)",
        # Without a decimal, pairs this close together would read the same.
        digits=1 if high - low < 20 else 0,
    )
    axes.set_xticks([])
    for i in range(k):  # the empty diagonal names the columns
        axes.text(i + 0.5, i + 0.5, f"#{i}", ha="center", va="center", weight="bold")
    return figure
