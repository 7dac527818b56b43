"""What a mask was drawn from: a histogram of log10 importance with the keep-probability over it.

One panel per tensor. The line is q = 1 - exp(-p t), the probability that one draw keeps a weight. The
dark part of a bar is what the mask kept after all of its draws. The dashed line is the threshold of
the deterministic mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from rpmask.charts import style

if TYPE_CHECKING:
    from rpmask.randomized_masks.keep_curves import KeepBins

LIGHT_BLUE = "#C9DCEB"


@style.styled
def keep_probability(tensors: Sequence[KeepBins], *, what: str) -> Figure:
    """A panel for each of one or a few tensors; `what` names the candidate."""
    title = f"Keep-probability over importance: {what}"
    spoken = " ".join(
        f"{bins.name}: {bins.kept.sum():,} of {bins.counts.sum() + bins.zeros:,} weights kept; the "
        f"deterministic cut is at log10 importance {threshold(bins):.2f}."
        for bins in tensors
    )
    columns = 1 if len(tensors) == 1 else 2
    rows = -(-len(tensors) // columns)
    figure = style.framed(
        2.9 if rows == 1 else 2.1 * rows + 0.3,
        title,
        "line: probability to be kept in one draw; dark bars: kept by this mask; "
        "dashed: deterministic cut",
        description=f"{title}. {spoken}",
    )
    for place, bins in enumerate(tensors):
        last = place % columns == columns - 1 or place == len(tensors) - 1
        axes = figure.add_subplot(rows, columns, place + 1)
        _panel(axes, bins, left=place % columns == 0, right=last)
    return figure


def threshold(bins: KeepBins) -> float:
    """The log10 importance above which there are as many weights as the mask keeps."""
    above = np.concatenate([np.cumsum(bins.counts[::-1])[::-1], [0]])  # (bins + 1,)
    return float(np.interp(bins.kept.sum(), above[::-1], bins.edges[::-1]))


def _panel(axes: Axes, bins: KeepBins, *, left: bool, right: bool) -> None:
    axes.set_title(bins.name, fontsize=style.SMALL)
    if bins.zeros:
        zeros = f"and {bins.zeros:,} of importance 0"
        axes.text(0.02, 0.97, zeros, transform=axes.transAxes, va="top", color=style.GREY)
    axes.set(xlabel="log10 importance", ylabel="weights per bin" if left else "")
    axes.stairs(bins.counts, bins.edges, fill=True, color=LIGHT_BLUE)
    axes.stairs(bins.kept, bins.edges, fill=True, color=style.BLUE)
    axes.axvline(threshold(bins), color=style.BLACK, linewidth=1.1, linestyle=style.DASHED)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(bins.edges[0], bins.edges[-1])
    curve = axes.twinx()
    known = np.isfinite(bins.keep)
    middles = (bins.edges[:-1] + bins.edges[1:]) / 2
    curve.plot(middles[known], bins.keep[known], color=style.VERMILION)
    curve.set_ylim(0, 1.03)
    curve.set_yticks([0, 0.5, 1])
    curve.spines["right"].set(visible=True, color=style.VERMILION)
    curve.tick_params(axis="y", colors=style.DARK_VERMILION)
    if right:
        curve.set_ylabel("keep-probability", color=style.DARK_VERMILION)
