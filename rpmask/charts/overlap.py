"""How near the candidates lie to each other: the share of kept weights any two have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rpmask.charts import style
from rpmask.errors import RpmaskError
from rpmask.records import Pool


def overlaps(matrix: NDArray[np.floating[Any]], pool: Pool) -> Figure:
    """Lower triangle of a K x K matrix of overlaps between 0 and 1; the diagonal names columns."""
    k = len(pool.candidates)
    if matrix.shape != (k, k):
        raise RpmaskError(
            f"Overlaps of shape {matrix.shape} do not fit a pool of {k} candidates.",
            f"Give one row and one column a candidate: ({k}, {k}).",
        )
    title = f"Overlap of {k} masks: {style.level_name(pool.task, pool.level, pool.sparsity)}"
    below = np.tril(np.ones((k, k), dtype=bool), -1)
    values = 100 * np.where(below & np.isfinite(matrix), matrix, np.nan)  # (K, K)
    pairs = values[np.isfinite(values)]
    if not pairs.size:
        return style.note(title, "There are not two masks to compare.")
    low, high = float(pairs.min()), float(pairs.max())
    figure = style.framed(
        min(max(0.28 * k, 1.0), 9) + 0.5,
        title,
        "kept weights that two masks have in common, as a share of those each keeps",
        description=f"{title}. Pairs share {low:.2f} % to {high:.2f} % of their kept weights, "
        f"{pairs.mean():.2f} % on average.",
    )
    axes = figure.add_subplot()
    scale = Normalize(low, high) if high > low else Normalize(low - 1, low + 1)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=style.HEAT, norm=scale, edgecolors="white", linewidth=1.5
    )
    style.heat_axes(axes)
    axes.set_xticks([])
    names = [style.label(candidate, i) for i, candidate in enumerate(pool.candidates)]
    axes.set_yticks(np.arange(k) + 0.5, names)
    for i in range(k):
        axes.text(
            i + 0.5, i + 0.5, f"#{i}", ha="center", va="center", fontsize=style.SMALL, weight="bold"
        )
    # Without a decimal, pairs this close together would all read the same.
    digits = 1 if high - low < 20 else 0
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        if k > 16:
            break
        value = float(values[row, column])
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.{digits}f}",
            ha="center",
            va="center",
            fontsize=style.SMALL,
            color=style.ink_on(float(scale(value))),
        )
    style.colour_bar(figure, axes, mesh, "in common (%)")
    return figure
