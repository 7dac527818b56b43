"""Figures for the MLflow UI: records and plain arrays in, `matplotlib.figure.Figure` out.

No MLflow here and no pyplot, so a figure is drawn without touching anyone's global state. Importing
this package imports matplotlib: do so inside the function that draws.
"""

from rpmask.tracking.charts.deploying import bench
from rpmask.tracking.charts.evidence import effect
from rpmask.tracking.charts.layers import density, found_density
from rpmask.tracking.charts.overlap import overlaps
from rpmask.tracking.charts.parallel import parallel_coordinates
from rpmask.tracking.charts.racing import race
from rpmask.tracking.charts.retention import levels
from rpmask.tracking.charts.sampling import KeepHistogram, keep_probability
from rpmask.tracking.charts.searching import search
from rpmask.tracking.charts.style import label
from rpmask.tracking.charts.tuning import TrialValue, importances, tuning_history
from rpmask.tracking.charts.webpage import Picture, draw, page

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
