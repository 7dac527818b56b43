"""Labels, colours and the frame that all charts share."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from chart_records import FULL_RACE, candidate, pool_of, words
from matplotlib.colors import to_rgb

from rpmask import charts
from rpmask.charts import style
from rpmask.charts.heat_map import COLOURS, text_colour


@pytest.mark.parametrize(
    ("index", "recipe", "expected"),
    [
        (0, {}, "control"),
        (
            3,
            {"importance": "fisher", "allocation": 1.0, "temperature": 0.2, "sample_ratio": 1e-4},
            "fisher global T=0.2 r=0.0001 #3",
        ),
        (4, {"temperature": 0.0, "importance": "taylor"}, "taylor uniform T=0 #4"),
        (5, {"votes": 20, "allocation": 0.5}, "magnitude blend=0.5 T=0.2 m=20 #5"),
        (
            6,
            {"sample_ratio": 8.3e-5, "granularity": "2:4"},
            "magnitude uniform 2:4 T=0.2 r=8.3e-05 #6",
        ),
    ],
)
def test_label_says_what_draws_the_candidate(
    index: int, recipe: dict[str, object], expected: str
) -> None:
    assert charts.label(candidate(index, **recipe), index) == expected


def test_charts_leave_pyplot_alone() -> None:
    code = "import rpmask.charts, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_charts_know_no_mlflow() -> None:
    code = "import rpmask.charts, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_long_titles_wrap_and_the_figure_grows() -> None:
    short = style.framed(2.0, "Title", "part")
    long = style.framed(2.0, "word " * 30, "; ".join(["a part of some length"] * 12))
    assert long.get_figheight() > short.get_figheight()
    assert long.get_figwidth() == short.get_figwidth() == 8
    longest = max(long.texts, key=lambda text: text.get_window_extent().width)
    assert longest.get_window_extent().x1 <= long.bbox.x1


def luminance(colour: object) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_numbers_in_a_heat_map_have_the_contrast_that_wcag_wants() -> None:
    for strength in np.linspace(0, 1, 101):
        cell, text = luminance(COLOURS(strength)), luminance(text_colour(strength))
        assert (max(cell, text) + 0.05) / (min(cell, text) + 0.05) >= 4.5, strength


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(matplotlib.rcParams)
    charts.race(FULL_RACE, pool_of(5))
    assert dict(matplotlib.rcParams) == before


def test_a_dollar_in_a_name_is_not_a_formula() -> None:
    figure = style.note(r"$\nothing$ $", r"$\either$")
    assert r"$\nothing$ $" in words(figure)
