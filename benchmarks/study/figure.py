"""The figure of the page: what the arms keep over sparsity (questions 1 and 2)."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from compare import Rows, mean, of
from grid import SPARSITIES, TASKS
from matplotlib.figure import Figure
from retention import AT_CHANCE, NAMES

from rpmask.words import percent

DOCS = Path(__file__).parent.parent.parent / "docs"
FIGURE = "results.svg"
ASIDE = 0.08  # how far an arm's dots are from the next one's, which they would hide
COLOURS = {
    "magnitude": "#999999",
    "paper": "#D55E00",
    "ours": "#0072B2",
    "levels": "#009E73",
    "tightened": "#CC79A7",
}


def draw(rows: Rows) -> None:
    """Corrected retention over sparsity, a panel for each task that the dense model learns."""
    here = of(rows, question="main")
    tasks = [task for task in TASKS if task not in AT_CHANCE and of(here, task=task)]
    if not tasks:
        return
    figure = Figure(figsize=(2.6 * len(tasks) + 0.6, 3.2), layout="constrained")
    for axes, task in zip(
        figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0], tasks, strict=True
    ):
        for place, (arm, name) in enumerate(NAMES.items()):
            aside = ASIDE * (place - (len(NAMES) - 1) / 2)
            found = of(here, task=task, arm=arm)
            xs = [SPARSITIES.index(row["sparsity"]) for row in found]
            ys = [100 * row["corrected_retention"] for row in found]
            axes.plot(
                [x + aside for x in xs],
                ys,
                "o",
                color=COLOURS[arm],
                label=name,
                markersize=4,
                alpha=0.8,
            )
            means = [
                (i + aside, mean(y for x, y in zip(xs, ys, strict=True) if x == i))
                for i in sorted(set(xs))
            ]
            if means:
                axes.plot(*zip(*means, strict=True), color=COLOURS[arm], linewidth=1.5)
        axes.axhline(100, color="#BBBBBB", linewidth=0.8)
        axes.set_xticks(range(len(SPARSITIES)), [percent(s).replace(" ", "") for s in SPARSITIES])
        axes.set_xlim(-0.4, len(SPARSITIES) - 0.6)
        axes.set_title(task, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("retention, corrected for chance (%)", fontsize=9)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    with matplotlib.rc_context({"svg.hashsalt": "rpmask"}):
        figure.savefig(DOCS / FIGURE, metadata={"Date": None})
