"""A table of numbers as coloured cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rpmask.charts import style

# One hue whose lightness carries the value: readable with any colour vision and in grey print.
COLOURS = LinearSegmentedColormap.from_list(
    "rpmask_heat", ["#F3F8FC", "#7FB8DD", style.BLUE, "#002B45"]
)
DARK = 0.615  # above this share of the scale, white text has more contrast than black
MOST_COLUMNS = 16  # with more columns, numbers do not fit into the cells


def heat_map(
    figure: Figure,
    values: NDArray[np.floating[Any]],  # (rows, columns); NaN leaves a cell empty
    scale: Normalize,
    *,
    rows: Sequence[str],
    unit: str,
    digits: int,
) -> Axes:
    """Draw the cells, the first row at the top, with their numbers and a colour bar."""
    axes = figure.add_subplot()
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=COLOURS, norm=scale, edgecolors="white", linewidth=1.5
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    if values.shape[1] <= MOST_COLUMNS:
        for row, column in np.argwhere(np.isfinite(values)):
            value = float(values[row, column])
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:.{digits}f}",
                ha="center",
                va="center",
                color=text_colour(float(scale(value))),
            )
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.02, 0, 0.02, 1)), label=unit)
    bar.outline.set_visible(False)
    return axes


def text_colour(strength: float) -> str:
    """The text colour that is readable on the colour of a strength between 0 and 1."""
    return "white" if strength > DARK else style.BLACK
