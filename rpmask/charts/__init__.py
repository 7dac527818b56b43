"""Draw the charts that MLflow shows: records and arrays in, `matplotlib.figure.Figure` out.

Nothing here imports MLflow. Importing this package imports matplotlib, which takes a while, so import
it inside the function that draws.
"""

from rpmask.charts.bench_bars import bench
from rpmask.charts.class_answers import confusion, curves
from rpmask.charts.html_page import Picture, draw, page
from rpmask.charts.jackpot_search import search
from rpmask.charts.keep_histograms import keep_probability
from rpmask.charts.leaderboard_dots import board
from rpmask.charts.mask_overlaps import overlaps
from rpmask.charts.optuna_charts import adopt
from rpmask.charts.paired_effect import effect
from rpmask.charts.race_curves import race
from rpmask.charts.sparsity_levels import levels
from rpmask.charts.style import label, note
from rpmask.charts.tensor_density import density, found_density

__all__ = [
    "Picture",
    "adopt",
    "bench",
    "board",
    "confusion",
    "curves",
    "density",
    "draw",
    "effect",
    "found_density",
    "keep_probability",
    "label",
    "levels",
    "note",
    "overlaps",
    "page",
    "race",
    "search",
]
