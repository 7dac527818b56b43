"""The leaderboard as a picture: dev metric against sparsity, one dot a row with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.charts.leaderboard import LeaderboardRow

MARKERS = {"drawn": "o", "paper": "s", "jackpot": "D", "dense": "_"}
SPREAD = 0.6  # of a column's width, over which the rows of one sparsity are set side by side


def board(rows: Sequence[LeaderboardRow]) -> Figure:
    """The rows of one task and metric. The best of each sparsity is brought forward."""
    task, metric = rows[0].task, rows[0].metric
    title = f"Leaderboard: {task}, {metric} on dev"
    sparse = [row for row in rows if row.sparsity > 0 and math.isfinite(row.mean)]
    if not sparse:
        return style.note(title, "No sparse model has been trained or searched yet.")
    columns = sorted({row.sparsity for row in sparse})
    figure = style.framed(
        3.6,
        title,
        style.DOT.join(["dots: mean over seeds", "bars: 95 % interval", "dashed: dense"]),
        description=f"{title}. {_spoken(sparse)}",
    )
    axes = style.plain_axes(figure.add_subplot(), x="sparsity", y=metric, grid="y")
    for column, sparsity in enumerate(columns):
        here = [row for row in sparse if row.sparsity == sparsity]
        best = max(here, key=lambda row: row.mean)
        for i, row in enumerate(here):
            offset = SPREAD * ((i + 0.5) / len(here) - 0.5)
            _dot(axes, column + offset, row, lead=row is best)
    dense = max((row.dense for row in sparse if math.isfinite(row.dense)), default=None)
    if dense is not None:
        axes.axhline(dense, color=style.GREEN, linewidth=1.4, linestyle=(0, (4, 1.6)), zorder=1)
    axes.set_xticks(range(len(columns)), [style.percent(sparsity) for sparsity in columns])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    _legend(axes, sparse)
    return figure


def _dot(axes: Axes, x: float, row: LeaderboardRow, *, lead: bool) -> None:
    colour = style.VERMILION if lead else style.BLUE
    if row.interval:
        axes.plot([x, x], row.interval, color=colour, linewidth=2)
    axes.plot(
        x,
        row.mean,
        marker=MARKERS.get(row.method, "^"),
        markersize=7 if lead else 5.5,
        color=colour,
        markeredgecolor="white",
        linestyle="none",
        zorder=4 if lead else 3,
    )
    if lead:
        axes.annotate(
            f"{row.mean:.3f}",
            (x, row.mean),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
            weight="bold",
            color=style.ink(style.VERMILION),
            path_effects=style.halo(),
        )


def _legend(axes: Axes, rows: Sequence[LeaderboardRow]) -> None:
    """What the markers stand for, where there is more than one."""
    methods = list(dict.fromkeys(row.method for row in rows))
    if len(methods) < 2:
        return
    for method in methods:
        axes.plot([], [], MARKERS.get(method, "^"), color=style.GREY, label=method)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(methods),
        frameon=False,
        fontsize=style.SMALL,
        borderaxespad=0.2,
    )


def _spoken(rows: Sequence[LeaderboardRow]) -> str:
    return " ".join(
        f"{row.method} at {style.percent(row.sparsity)}: {row.mean:.4f}"
        f"{f' ({row.interval[0]:.4f} to {row.interval[1]:.4f})' if row.interval else ''}, "
        f"{len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}."
        for row in rows
    )
