"""A jackpot search, epoch by epoch: how good the mask is, and how far it has moved."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rpmask.charts import style
from rpmask.results import JackpotResult, SearchEpoch


def search(result: JackpotResult) -> Figure:
    """Three panels over the epochs: selection metric, swaps, overlap with the start."""
    title = f"Jackpot search: {style.level_name(result.task, result.level, result.sparsity)}"
    if len(result.epochs) < 2:
        return style.note(title, "The search has no finished epoch.")
    name, best = result.primary, result.epochs[result.best_epoch]
    swaps = sum(epoch.swaps for epoch in result.epochs)
    subtitle = style.DOT.join(
        [
            f"from {result.start}",
            f"restriction {result.restriction}",
            *([] if result.norm_statistics == "none" else [f"norms {result.norm_statistics}"]),
            f"{swaps:,} swaps",
        ]
    )
    spoken = (
        f"On the selection split {name} is {result.epochs[0].metric:.4f} at the start and "
        f"{best.metric:.4f} at the best epoch, {best.epoch}. {swaps:,} swaps; {best.overlap:.1%} of "
        "the start's kept weights are kept there."
    )
    figure = style.framed(6.2, title, subtitle, description=f"{title}. {spoken}")
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
    _metric(panels[0], result, best)
    _swaps(panels[1], result.epochs[1:])
    _overlap(panels[2], result.epochs)
    for panel in panels[:2]:
        panel.tick_params(labelbottom=False)
    panels[2].xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    return figure


def _metric(axes: Axes, result: JackpotResult, best: SearchEpoch) -> None:
    style.plain_axes(axes, y=f"selection {result.primary}", grid="y")
    known = [epoch for epoch in result.epochs if math.isfinite(epoch.metric)]
    axes.plot(
        [epoch.epoch for epoch in known],
        [epoch.metric for epoch in known],
        color=style.BLUE,
        linewidth=2,
    )
    axes.plot(best.epoch, best.metric, "o", color=style.VERMILION, markersize=6, zorder=4)
    # Near the right edge the words go to the left of the point, else they would leave the frame.
    late = best.epoch > 0.7 * result.epochs[-1].epoch
    axes.annotate(
        f"kept: {best.metric:.4f}",
        (best.epoch, best.metric),
        xytext=(-6 if late else 6, -12),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=style.SMALL,
        weight="bold",
        color=style.ink(style.VERMILION),
        path_effects=style.halo(),
    )


def _swaps(axes: Axes, epochs: tuple[SearchEpoch, ...]) -> None:
    style.plain_axes(axes, y="swaps", grid="y")
    axes.bar([e.epoch for e in epochs], [e.swaps for e in epochs], color=style.BLUE, width=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _overlap(axes: Axes, epochs: tuple[SearchEpoch, ...]) -> None:
    style.plain_axes(axes, x="epoch", y="overlap with start", grid="y")
    axes.plot(
        [e.epoch for e in epochs], [100 * e.overlap for e in epochs], color=style.BLUE, linewidth=2
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
