"""The chart of the leaderboard shows every row and highlights the best of each sparsity."""

from __future__ import annotations

import math
from dataclasses import replace

from chart_records import words
from matplotlib.colors import to_hex

from rpmask.charts import board, style
from rpmask.charts.leaderboard import LeaderboardRow

ROW = LeaderboardRow(
    task="rte",
    model="bert",
    method="drawn",
    sparsity=0.9,
    settings="",
    metric="accuracy",
    seeds=("0", "1"),
    mean=0.70,
    interval=(0.66, 0.74),
    dense=0.8,
    retention=0.875,
    better=2,
    steps=100.0,
    seconds=60.0,
    champion=False,
    runs=("a", "b"),
)


def test_every_row_has_a_dot_and_its_interval() -> None:
    rows = [ROW, replace(ROW, method="paper", mean=0.65, interval=()), replace(ROW, sparsity=0.95)]
    axes = board(rows).axes[0]
    heights = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata())]
    assert heights.count([0.7]) == 2
    assert heights.count([0.65]) == 1
    assert heights.count([0.66, 0.74]) == 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["90%", "95%"]


def test_the_best_of_a_sparsity_has_its_own_colour_size_and_number() -> None:
    figure = board([ROW, replace(ROW, method="paper", mean=0.65, interval=())])
    dots = {
        line.get_ydata()[0]: line for line in figure.axes[0].lines if len(line.get_ydata()) == 1
    }
    assert to_hex(dots[0.70].get_color()) == style.VERMILION.lower()
    assert to_hex(dots[0.65].get_color()) == style.BLUE.lower()
    assert dots[0.70].get_markersize() > dots[0.65].get_markersize()
    assert dots[0.70].get_marker() != dots[0.65].get_marker()
    assert "0.700" in words(figure)
    assert "drawn at 90%: 0.7000 (0.6600 to 0.7400), 2 seeds." in figure.get_label()


def test_without_a_sparse_model_it_says_so() -> None:
    dense = replace(ROW, method="dense", sparsity=0.0)
    lost = replace(ROW, mean=math.nan)
    assert "No sparse model" in words(board([dense, lost]))
