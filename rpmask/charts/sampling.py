"""What is drawn from: a histogram of log10 importance with the keep-probability over it.

One panel a tensor. The line is q = 1 - exp(-p t), the probability that one draw keeps a weight. The
dark part of a bar is what a mask kept after all of its draws or, where no mask is given, what one draw
is expected to keep. The dashed line is where the deterministic mask cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from rpmask.charts import style
from rpmask.errors import RpmaskError


@dataclass(frozen=True)
class KeepHistogram:
    """One tensor's weights by importance, and how likely each bin's weights are to be kept.

    keep is the mean keep-probability of a bin's weights (NaN where the bin is empty); kept is how
    many of them a mask has, if one is to be shown. Weights of importance 0, which no draw can keep,
    are left out of the bins and counted in `zeros`.
    """

    name: str
    edges: NDArray[np.floating[Any]]  # (bins + 1,) log10 importance
    counts: NDArray[np.integer[Any] | np.floating[Any]]  # (bins,)
    keep: NDArray[np.floating[Any]]  # (bins,) between 0 and 1
    zeros: int = 0
    kept: NDArray[np.integer[Any]] | None = None  # (bins,)

    def __post_init__(self) -> None:
        bins = len(self.counts)
        if len(self.edges) != bins + 1 or len(self.keep) != bins:
            raise RpmaskError(
                f"The histogram of {self.name} has {len(self.edges)} edges, {bins} counts and "
                f"{len(self.keep)} keep-probabilities.",
                "A histogram of n bins has n + 1 edges, n counts and n keep-probabilities.",
            )

    @property
    def expected(self) -> NDArray[np.float64]:
        """How many of each bin's weights are expected to be kept."""
        return np.asarray(self.counts * np.nan_to_num(self.keep), dtype=np.float64)

    @property
    def staying(self) -> NDArray[np.float64]:
        """The dark part of each bar: what the mask kept, or what one draw is expected to."""
        return self.expected if self.kept is None else np.asarray(self.kept, dtype=np.float64)

    @property
    def cut(self) -> float:
        """The log10 importance above which as many weights lie as are kept."""
        above = np.concatenate([np.cumsum(self.counts[::-1])[::-1], [0.0]])  # (bins + 1,)
        return float(np.interp(self.staying.sum(), above[::-1], self.edges[::-1]))


def keep_probability(histograms: Sequence[KeepHistogram], *, what: str = "") -> Figure:
    """Small multiples of one or a few tensors; `what` names the candidate or the distribution."""
    title = "Keep-probability over importance" + (f": {what}" if what else "")
    filled = [histogram for histogram in histograms if histogram.counts.sum() > 0]
    if not filled:
        return style.note(title, "Every importance is zero: there is nothing to draw from.")
    columns = 1 if len(filled) == 1 else 2
    rows = -(-len(filled) // columns)
    figure = style.framed(
        2.9 if rows == 1 else 2.1 * rows + 0.3,
        title,
        style.DOT.join(
            [
                "line: probability to be kept in one draw",
                "dark bars: expected to stay"
                if filled[0].kept is None
                else "dark bars: kept by this mask",
                "dashed: deterministic cut",
            ]
        ),
        description=f"{title}. {_spoken(filled)}",
    )
    grid = figure.subplots(rows, columns, squeeze=False)  # (rows, columns) of Axes
    for i, axes in enumerate(grid.flat):
        if i < len(filled):
            edge = i % columns == columns - 1 or i == len(filled) - 1
            _panel(axes, filled[i], left=i % columns == 0, right=edge)
        else:
            axes.set_visible(False)
    return figure


def _panel(axes: Axes, histogram: KeepHistogram, *, left: bool, right: bool) -> None:
    style.plain_axes(axes, x="log10 importance", y="weights per bin" if left else "")
    axes.set_title(histogram.name, loc="left", fontsize=style.SMALL, color=style.BLACK)
    axes.stairs(histogram.counts, histogram.edges, fill=True, color="#C9DCEB")
    axes.stairs(histogram.staying, histogram.edges, fill=True, color=style.BLUE)
    axes.axvline(histogram.cut, color=style.BLACK, linewidth=1.1, linestyle=(0, (4, 1.6)))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(histogram.edges[0], histogram.edges[-1])
    curve = axes.twinx()
    known = np.isfinite(histogram.keep)
    middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    curve.plot(middles[known], histogram.keep[known], color=style.VERMILION, linewidth=2)
    curve.set_ylim(0, 1.03)
    curve.set_yticks([0, 0.5, 1])
    curve.spines[["top", "left"]].set_visible(False)
    curve.spines["right"].set_color(style.VERMILION)
    curve.tick_params(labelsize=style.SMALL, colors=style.ink(style.VERMILION), length=3)
    if right:
        curve.set_ylabel("keep-probability", fontsize=style.TEXT, color=style.ink(style.VERMILION))
    if histogram.zeros:
        axes.annotate(
            f"+ {histogram.zeros:,} of importance 0",
            (0, 1),
            xycoords="axes fraction",
            xytext=(4, -3),
            textcoords="offset points",
            va="top",
            fontsize=style.SMALL,
            color=style.GREY,
        )


def _spoken(histograms: Sequence[KeepHistogram]) -> str:
    return " ".join(
        f"{h.name}: {h.staying.sum():,.0f} of {h.counts.sum() + h.zeros:,.0f} weights "
        f"{'are expected to stay' if h.kept is None else 'stay'}; the "
        f"deterministic cut lies at log10 importance {h.cut:.2f}."
        for h in histograms
    )
