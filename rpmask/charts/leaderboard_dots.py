"""The leaderboard: the dev metric against sparsity, with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.charts.leaderboard import LeaderboardRow
from rpmask.direction import best_of
from rpmask.words import percent

MARKERS = {"drawn": "o", "paper": "s", "jackpot": "D"}
SPREAD = 0.6  # of a column's width, over which the rows of one sparsity are placed side by side


@style.styled
def board(rows: Sequence[LeaderboardRow]) -> Figure:
    """A dot with its interval for every row of one task and metric; the best of a sparsity stands out."""
    task, metric, lower = rows[0].task, rows[0].metric, rows[0].lower_is_better
    title = f"Leaderboard: {task}, {metric} on dev"
    sparse = [row for row in rows if row.sparsity > 0 and math.isfinite(row.mean)]
    if not sparse:
        return style.note(title, "No sparse model has been trained or searched yet.")
    figure = style.framed(
        3.6,
        title,
        "dots: mean over seeds; bars: 95% interval; red: the best of its sparsity",
        description=f"{title}. {' '.join(_in_words(row) for row in sparse)}",
    )
    axes = figure.add_subplot(xlabel="sparsity", ylabel=metric)
    axes.grid(axis="y")
    columns = sorted({row.sparsity for row in sparse})
    for column, sparsity in enumerate(columns):
        here = [row for row in sparse if row.sparsity == sparsity]
        best = max(here, key=lambda row: -row.mean if lower else row.mean)
        for i, row in enumerate(here):
            offset = SPREAD * ((i + 0.5) / len(here) - 0.5)
            _draw(axes, column + offset, row, leads=row is best)
    for method in dict.fromkeys(row.method for row in sparse):
        axes.plot([], [], MARKERS.get(method, "^"), color=style.GREY, label=method)
    known = [row.dense for row in sparse if math.isfinite(row.dense)]
    if known:
        dense = best_of(known, lower=lower)
        axes.axhline(dense, color=style.GREEN, lw=1.4, ls=style.DASHED, label="dense", zorder=1)
    axes.set_xticks(range(len(columns)), [percent(sparsity) for sparsity in columns])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    style.legend(axes)
    return figure


def _draw(axes: Axes, x: float, row: LeaderboardRow, *, leads: bool) -> None:
    colour = style.VERMILION if leads else style.BLUE
    if row.interval:
        axes.plot([x, x], row.interval, color=colour)
    marker = MARKERS.get(row.method, "^")
    axes.plot(x, row.mean, marker, ms=7 if leads else 5.5, color=colour, mec="white", zorder=4)
    if leads:
        style.number_at(axes, (x, row.mean), f"{row.mean:.3f}", xytext=(7, 0), va="center")


def _in_words(row: LeaderboardRow) -> str:
    interval = f" ({row.interval[0]:.4f} to {row.interval[1]:.4f})" if row.interval else ""
    seeds = f"{len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}"
    return f"{row.method} at {percent(row.sparsity)}: {row.mean:.4f}{interval}, {seeds}."
