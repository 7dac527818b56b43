"""The dev metric at every sparsity level of a pipeline, compared with the dense model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.errors import RpmaskError
from rpmask.results import FinetuneResult


@style.styled
def levels(rows: Sequence[FinetuneResult]) -> Figure:
    """The dev metric of every level, with its retention: the share of the dense model's metric.

    Several results at one sparsity are drawn as dots, with the line through their means.
    """
    tasks = sorted({row.task for row in rows})
    if len(tasks) > 1:
        raise RpmaskError(
            f"Results of {len(tasks)} tasks cannot share a chart: {', '.join(tasks)}.",
            "Draw one chart per task.",
        )
    title = "Dense to sparse" + (f": {tasks[0]}" if tasks else "")
    usable = [row for row in rows if math.isfinite(row.dev.get(row.primary, math.nan))]
    if not usable:
        return style.note(title, "No level has a dev metric yet.")
    primary = usable[-1].primary
    found = {  # by sparsity
        sparsity: [row for row in usable if row.sparsity == sparsity]
        for sparsity in sorted({row.sparsity for row in usable})
    }
    means = [fmean(row.dev[row.primary] for row in same) for same in found.values()]
    retentions = [fmean(row.retention for row in same) for same in found.values()]
    lines = {  # the dense model and the majority class, where known: a regression has no class
        "dense": fmean(
            style.finite(row.dense.get(primary, math.nan) for row in usable) or [math.nan]
        ),
        "majority class": fmean(
            style.finite(row.majority.get(primary, math.nan) for row in usable) or [math.nan]
        ),
    }
    subtitle = f"{primary} {means[-1]:.4f} at {style.percent(max(found))} sparse"
    if style.finite(retentions):
        subtitle += "; percentages: share of the dense model's metric"
    spoken = [
        f"{mean:.4f} at {style.percent(sparsity)}"
        for mean, sparsity in zip(means, found, strict=True)
    ]
    spoken += [f"{name} {value:.4f}" for name, value in lines.items() if math.isfinite(value)]
    figure = style.framed(
        3.7, title, subtitle, description=f"{title}. dev {primary}: {', '.join(spoken)}."
    )
    axes = figure.add_subplot(xlabel="sparsity (times fewer weights)", ylabel=f"dev {primary}")
    for place, same in enumerate(found.values()):
        values = [row.dev[row.primary] for row in same]
        axes.scatter([place] * len(same), values, s=22, color=style.VERMILION, lw=0, zorder=3)
    axes.plot(range(len(found)), means, color=style.VERMILION, label="sparse")
    looks = {"dense": (style.GREEN, "-"), "majority class": (style.GREY, style.DOTTED)}
    for name, value in lines.items():
        if math.isfinite(value):
            colour, dashes = looks[name]
            axes.axhline(value, color=colour, lw=1.4, ls=dashes, label=f"{name} {value:.4g}")
    for place, (same, retention) in enumerate(zip(found.values(), retentions, strict=True)):
        if math.isfinite(retention):
            axes.annotate(
                f"{100 * retention:.1f} %",
                (place, min(row.dev[row.primary] for row in same)),
                xytext=(6, -8),
                textcoords="offset points",
                ha="right",
                va="top",
                weight="bold",
                color=style.DARK_VERMILION,
                path_effects=style.halo(),
            )
    names = [f"{style.percent(sparsity)}\n{1 / (1 - sparsity):.3g}×" for sparsity in found]
    axes.set_xticks(range(len(found)), names)
    axes.set_xlim(-0.5, len(found) - 0.5)
    axes.margins(y=0.15)
    style.legend(axes)
    return figure
