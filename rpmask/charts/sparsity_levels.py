"""The dev metric at every sparsity level of a pipeline, compared with the dense model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.results import FinetuneResult
from rpmask.words import percent


@style.styled
def levels(results: Sequence[FinetuneResult]) -> Figure:
    """The dev metric of every level, with its retention: the share of the dense model's metric."""
    title = f"Dense to sparse: {results[0].task}"
    rows = [row for row in results if math.isfinite(row.dev.get(row.primary, math.nan))]
    if not rows:
        return style.note(title, "No level has a dev metric yet.")
    rows.sort(key=lambda row: row.sparsity)
    last, primary = rows[-1], rows[-1].primary
    values = [row.dev[row.primary] for row in rows]
    references = [  # where known
        (name, metrics[primary], colour, dashes)
        for name, metrics, colour, dashes in (
            ("dense", last.dense, style.GREEN, "-"),
            ("constant answer", last.majority, style.GREY, style.DOTTED),
        )
        if math.isfinite(metrics.get(primary, math.nan))
    ]
    subtitle = f"{primary} {values[-1]:.4f} at {percent(last.sparsity)} sparse"
    if any(math.isfinite(row.retention) for row in rows):
        subtitle += "; percentages: share of the dense model's metric"
    spoken = [f"{row.dev[row.primary]:.4f} at {percent(row.sparsity)}" for row in rows]
    spoken += [f"{name} {value:.4f}" for name, value, *_ in references]
    description = f"{title}. dev {primary}: {', '.join(spoken)}."
    figure = style.framed(3.7, title, subtitle, description=description)
    axes = figure.add_subplot(xlabel="sparsity (times fewer weights)", ylabel=f"dev {primary}")
    axes.plot(range(len(rows)), values, "o-", color=style.VERMILION, label="sparse", zorder=3)
    for name, value, colour, dashes in references:
        axes.axhline(value, color=colour, lw=1.4, ls=dashes, label=f"{name} {value:.4g}")
    for place, row in enumerate(rows):
        if math.isfinite(row.retention):
            point, text = (place, row.dev[row.primary]), f"{row.retention:.1%}"
            style.number_at(axes, point, text, xytext=(6, -8), ha="right", va="top")
    names = [f"{percent(row.sparsity)}\n{1 / (1 - row.sparsity):.3g}×" for row in rows]
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.margins(y=0.15)
    style.legend(axes)
    return figure
