"""Charts drawn by `optuna.visualization.matplotlib`, in the style of this package."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from rpmask.charts import style

# From the lowest value to the highest. Optuna's own lines of the highest values are white on white.
DARK_TO_LIGHT = LinearSegmentedColormap.from_list(
    "rpmask_lines", ["#002B45", style.BLUE, "#A9D0EA"]
)


@style.styled
def adopt(
    plot: Callable[[], Axes], height: float, title: str, subtitle: str, *, description: str
) -> Figure:
    """Call a function that draws with pyplot, and give its figure this package's style and heading.

    Optuna changes pyplot's style and leaves its figures open; both are undone.
    """
    from matplotlib import pyplot  # no other chart needs it

    if matplotlib.get_backend(auto_select=False) is None:
        matplotlib.use("agg")  # a command opens no window
    with rc_context({"figure.constrained_layout.use": True, "lines.linewidth": 1.4}):
        first = plot()
    figure = first.figure
    assert isinstance(figure, Figure)
    pyplot.close(figure)
    FigureCanvasAgg(figure)
    for axes in figure.axes:
        _restyle(axes)
        axes.spines["right"].set_visible(axes is not first)
    first.tick_params(axis="x", rotation=0)
    first.set_facecolor("white")
    for lines in first.collections:
        if isinstance(lines, LineCollection):
            lines.set_cmap(DARK_TO_LIGHT)
    if first.get_legend() is not None:
        style.legend(first)
    return style.head(figure, height, title, subtitle, description=description)


def _restyle(axes: Axes) -> None:
    axes.set_title("")
    axes.grid(False)
    axes.spines[:].set_color(style.GREY)
    axes.tick_params(which="both", color=style.GREY, labelcolor=style.BLACK, labelsize=style.SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(size=style.TEXT, color=style.BLACK)
    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        ticks = (low, math.sqrt(low * high), high)
        axes.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.minorticks_off()
    for text in axes.get_yticklabels():  # lines cross the labels of the inner axes
        text.set_path_effects(style.halo())
