"""Figures for the MLflow UI: records and plain arrays in, `matplotlib.figure.Figure` out.

No MLflow here and no pyplot, so a figure is drawn without touching anyone's global state. Importing
this package imports matplotlib: do so inside the function that draws.
"""

from rpmask.charts.deploying import bench
from rpmask.charts.evidence import effect
from rpmask.charts.layers import density, found_density
from rpmask.charts.overlap import overlaps
from rpmask.charts.parallel import parallel_coordinates
from rpmask.charts.racing import race
from rpmask.charts.retention import levels
from rpmask.charts.sampling import KeepHistogram, keep_probability
from rpmask.charts.searching import search
from rpmask.charts.style import label
from rpmask.charts.tuning import TrialValue, importances, tuning_history
from rpmask.charts.webpage import Picture, draw, page

__all__ = [
    "KeepHistogram",
    "Picture",
    "TrialValue",
    "bench",
    "density",
    "draw",
    "effect",
    "found_density",
    "importances",
    "keep_probability",
    "label",
    "levels",
    "overlaps",
    "page",
    "parallel_coordinates",
    "race",
    "search",
    "tuning_history",
]
