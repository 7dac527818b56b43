"""Dense to sparse: the dev metric of every level of a pipeline, beside the dense model's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from rpmask.charts import style
from rpmask.errors import RpmaskError
from rpmask.results import FinetuneResult


@dataclass(frozen=True)
class _Level:
    """All results at one sparsity; retention is the share of the dense metric that is left."""

    sparsity: float
    values: tuple[float, ...]
    retention: float

    @property
    def times(self) -> float:
        """How many times fewer weights are left."""
        return 1 / (1 - self.sparsity)

    @property
    def mean(self) -> float:
        return fmean(self.values)


@dataclass(frozen=True)
class _Reference:
    """A horizontal line to measure the levels against."""

    name: str
    value: float
    colour: str
    dashes: str | tuple[float, tuple[float, ...]]


def levels(rows: Sequence[FinetuneResult]) -> Figure:
    """Dev metric over sparsity, with retention (sparse over dense) at every level.

    The axis is the logarithm of 1 / (1 - sparsity): from 90 to 95 % the model halves, and so it
    does from 95 to 97.5 %. Several results at one sparsity are dots around the line of their mean.
    """
    tasks = sorted({row.task for row in rows})
    if len(tasks) > 1:
        raise RpmaskError(
            f"Results of {len(tasks)} tasks cannot share a chart: {', '.join(tasks)}.",
            "Draw one chart a task.",
        )
    usable = [row for row in rows if math.isfinite(row.dev.get(row.primary, math.nan))]
    title = "Dense to sparse" + (f": {tasks[0]}" if tasks else "")
    if not usable:
        return style.note(title, "No level has a dev metric yet.")
    primary = usable[-1].primary
    found = [_level(usable, sparsity) for sparsity in sorted({row.sparsity for row in usable})]
    references = _references(usable, primary)
    subtitle = f"{primary} {found[-1].mean:.4f} at {style.percent(found[-1].sparsity)} sparse"
    if any(math.isfinite(level.retention) for level in found):
        subtitle += f"{style.DOT}percentages at the points: share of the dense model's figure"
    figure = style.framed(
        3.7, title, subtitle, description=f"{title}. {_spoken(found, references, primary)}"
    )
    axes = style.plain_axes(
        figure.add_subplot(), x="sparsity (times fewer weights)", y=f"dev {primary}"
    )
    # The sparsities under the ticks are written by hand, two lines deep.
    axes.xaxis.labelpad = 25
    _draw(axes, found)
    _scale(axes, found, references)
    _draw_references(axes, references)
    _write_levels(axes, found)
    return figure


def _level(rows: Sequence[FinetuneResult], sparsity: float) -> _Level:
    here = [row for row in rows if row.sparsity == sparsity]
    return _Level(
        sparsity,
        tuple(row.dev[row.primary] for row in here),
        fmean(row.retention for row in here),
    )


def _references(rows: Sequence[FinetuneResult], primary: str) -> list[_Reference]:
    """The dense model and the majority class, as far as known: STS-B has no majority class."""
    dense = style.finite(row.dense.get(primary, math.nan) for row in rows)
    majority = style.finite(row.majority.get(primary, math.nan) for row in rows)
    lines = []
    if dense:
        lines.append(_Reference("dense", fmean(dense), style.GREEN, "-"))
    if majority:
        dots = (0.0, (1.0, 1.5))
        lines.append(_Reference("majority class", fmean(majority), style.GREY, dots))
    return lines


def _draw(axes: Axes, found: Sequence[_Level]) -> None:
    several = any(len(level.values) > 1 for level in found)
    for level in found:
        axes.scatter(
            [level.times] * len(level.values),
            level.values,
            s=22,
            color=style.VERMILION,
            alpha=0.55 if several else 1,
            linewidths=0,
            zorder=3,
        )
    axes.plot(
        [level.times for level in found],
        [level.mean for level in found],
        color=style.VERMILION,
        linewidth=2,
        label="sparse",
    )


def _scale(axes: Axes, found: Sequence[_Level], references: Sequence[_Reference]) -> None:
    axes.set_xlim(found[0].times / 1.25, found[-1].times * 1.25)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([level.times for level in found]))
    axes.xaxis.set_major_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    heights = [value for level in found for value in level.values]
    heights += [reference.value for reference in references]
    low, high = min(heights), max(heights)
    pad = 0.12 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)


def _draw_references(axes: Axes, references: Sequence[_Reference]) -> None:
    low, high = axes.get_ylim()
    ends = [(reference.value - low) / (high - low) for reference in references]
    for reference, at in zip(references, style.spread(ends, 0.05, 0, 1), strict=True):
        axes.axhline(
            reference.value,
            color=reference.colour,
            linewidth=1.4,
            linestyle=reference.dashes,
            label=reference.name,
        )
        axes.annotate(
            f"{reference.name} {reference.value:.4g}",
            (1, at),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=style.SMALL,
            color=style.ink(reference.colour),
            va="center",
        )


def _write_levels(axes: Axes, found: Sequence[_Level]) -> None:
    """Sparsity under each tick and retention under each point, moved apart where they are close."""
    left, right = (math.log(limit) for limit in axes.get_xlim())
    low, high = axes.get_ylim()
    ticks = [(math.log(level.times) - left) / (right - left) for level in found]
    for level, at in zip(found, style.spread(ticks, 0.088, 0.06, 0.97), strict=True):
        axes.text(
            at,
            -0.025,
            f"{style.percent(level.sparsity)}\n{level.times:.3g}×",
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=style.SMALL,
        )
        if math.isfinite(level.retention):
            axes.annotate(
                f"{100 * level.retention:.1f} %",
                (at, (min(level.values) - low) / (high - low)),
                xycoords="axes fraction",
                xytext=(-3, -8),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=style.SMALL,
                weight="bold",
                color=style.ink(style.VERMILION),
                path_effects=style.halo(),
            )


def _spoken(found: Sequence[_Level], references: Sequence[_Reference], primary: str) -> str:
    parts = [f"{level.mean:.4f} at {style.percent(level.sparsity)}" for level in found]
    parts += [f"{reference.name} {reference.value:.4f}" for reference in references]
    return f"dev {primary}: {', '.join(parts)}."
