"""The tuning of the sampling: the value of every trial, and which hyperparameters mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rpmask.charts import style


@dataclass(frozen=True)
class TrialValue:
    """One trial; state is `complete`, `pruned`, `failed` or `running`."""

    number: int
    value: float | None
    state: str = "complete"
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def drawable(self) -> bool:
        return self.value is not None and math.isfinite(self.value)


def tuning_history(
    trials: Sequence[TrialValue], *, value_name: str = "held-out loss", maximize: bool = False
) -> Figure:
    """Value against trial number, and the best complete value so far as a stair."""
    title = f"Tuning history: {value_name} of {len(trials)} trials"
    ordered = sorted(trials, key=lambda trial: trial.number)
    complete = [trial for trial in ordered if trial.state == "complete" and trial.drawable]
    pruned = [trial for trial in ordered if trial.state == "pruned" and trial.drawable]
    if not complete and not pruned:
        return style.note(title, "No trial has a value yet.")
    counts = [
        f"{number} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if (number := sum(trial.state == state for trial in ordered))
    ]
    best = _best_so_far([trial.value or 0.0 for trial in complete], maximize)
    spoken = f" The best value is {best[-1]:.4f}." if complete else ""
    figure = style.framed(
        3.3, title, ", ".join(counts), description=f"{title}: {', '.join(counts)}.{spoken}"
    )
    axes = style.plain_axes(figure.add_subplot(), x="trial", y=value_name, grid="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlim(ordered[0].number - 0.6, ordered[-1].number + 0.6)
    _dots(axes, complete, style.BLUE, filled=True)
    _dots(axes, pruned, style.GREY, filled=False)
    if complete:
        _stair(axes, [trial.number for trial in complete], best, ordered[-1].number)
    failed = [trial.number for trial in ordered if trial.state == "failed"]
    if failed:
        axes.plot(
            failed,
            [0.02] * len(failed),
            transform=axes.get_xaxis_transform(),
            marker="X",
            markersize=7,
            color=style.PURPLE,
            linestyle="none",
            clip_on=False,
            label="failed",
        )
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=4,
        frameon=False,
        fontsize=style.SMALL,
        borderaxespad=0.2,
    )
    return figure


def importances(values: Mapping[str, float]) -> Figure:
    """Share of the variation between trials that each hyperparameter explains, largest on top."""
    title = "What mattered: importance of the sampling hyperparameters"
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return style.note(title, "Too few trials to tell the hyperparameters apart.")
    names = sorted(known, key=lambda name: known[name])
    spoken = ", ".join(f"{name} {known[name]:.2f}" for name in reversed(names))
    figure = style.framed(0.3 * len(names) + 0.75, title, description=f"{title}: {spoken}.")
    axes = style.plain_axes(figure.add_subplot(), x="importance (the shares add up to 1)")
    bars = axes.barh(names, [known[name] for name in names], height=0.62, color=style.BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=4, fontsize=style.SMALL)
    axes.set_xlim(0, max(*known.values(), 0.01) * 1.12)
    axes.tick_params(axis="y", length=0, labelsize=style.TEXT)
    return figure


def _best_so_far(values: Sequence[float], maximize: bool) -> list[float]:
    so_far = np.maximum.accumulate(values) if maximize else np.minimum.accumulate(values)
    return [float(value) for value in so_far]


def _dots(axes: Axes, trials: Sequence[TrialValue], colour: str, *, filled: bool) -> None:
    if not trials:
        return
    axes.scatter(
        [trial.number for trial in trials],
        [trial.value or 0.0 for trial in trials],
        s=26,
        facecolors=colour if filled else "white",
        edgecolors=colour,
        linewidths=1.1,
        zorder=3,
        label="complete" if filled else "pruned, last value",
    )


def _stair(axes: Axes, numbers: Sequence[int], best: Sequence[float], end: int) -> None:
    axes.step(
        [*numbers, end],
        [*best, best[-1]],
        where="post",
        color=style.VERMILION,
        linewidth=2,
        zorder=2,
        label="best so far",
    )
