"""A jackpot search, epoch by epoch: how good the mask is, and how much of it has changed."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rpmask.charts import style
from rpmask.results import JackpotResult


@style.styled
def search(result: JackpotResult) -> Figure:
    """The selection metric, the swaps, and the overlap with the starting mask over the epochs."""
    title = f"Jackpot search: {style.level_name(result.task, result.level, result.sparsity)}"
    if len(result.epochs) < 2:
        return style.note(title, "The search has no finished epoch.")
    best = result.epochs[result.best_epoch]
    swaps = sum(epoch.swaps for epoch in result.epochs)
    parts = [f"from {result.start}", f"restriction {result.restriction}", f"{swaps:,} swaps"]
    if result.norm_statistics != "none":
        parts.append(f"norms {result.norm_statistics}")
    spoken = (
        f"On the selection split {result.primary} is {result.epochs[0].metric:.4f} at the start and "
        f"{best.metric:.4f} at the best epoch, {best.epoch}. {swaps:,} swaps; {best.overlap:.1%} of "
        "the starting mask's kept weights are kept there."
    )
    figure = style.framed(6.2, title, "; ".join(parts), description=f"{title}. {spoken}")
    metric, swapped, overlap = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
    for panel in (metric, swapped, overlap):
        panel.grid(axis="y")

    epochs = [epoch.epoch for epoch in result.epochs]
    known = [epoch for epoch in result.epochs if math.isfinite(epoch.metric)]
    metric.plot([e.epoch for e in known], [e.metric for e in known], color=style.BLUE)
    kept = f"kept: {best.metric:.4f}"
    metric.plot(best.epoch, best.metric, "o", color=style.VERMILION, label=kept, zorder=4)
    metric.set_ylabel(f"selection {result.primary}")
    style.legend(metric)

    swapped.bar(epochs[1:], [epoch.swaps for epoch in result.epochs[1:]], color=style.BLUE)
    swapped.set_ylabel("swaps")
    swapped.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    swapped.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))

    overlap.plot(epochs, [100 * epoch.overlap for epoch in result.epochs], color=style.BLUE)
    overlap.set(xlabel="epoch", ylabel="overlap with start")
    overlap.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
    overlap.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    return figure
