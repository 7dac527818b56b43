"""Labels, label placement and the frame that all charts share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from chart_records import candidate, words
from hypothesis import given
from hypothesis import strategies as st

from rpmask import charts
from rpmask.charts import style


@pytest.mark.parametrize(
    ("index", "recipe", "expected"),
    [
        (0, {}, "control"),
        (
            3,
            {"importance": "fisher", "allocation": 1.0, "temperature": 0.2, "sample_ratio": 1e-4},
            "fisher global T=0.2 r=1e-4 #3",
        ),
        (4, {"temperature": 0.0, "importance": "taylor"}, "taylor uniform T=0 #4"),
        (5, {"votes": 20, "allocation": 0.5}, "magnitude blend=0.5 T=0.2 m=20 #5"),
        (
            6,
            {"sample_ratio": 8.3e-5, "granularity": "2:4"},
            "magnitude uniform 2:4 T=0.2 r=8.3e-5 #6",
        ),
    ],
)
def test_label_says_what_draws_the_candidate(
    index: int, recipe: dict[str, object], expected: str
) -> None:
    assert charts.label(candidate(index, **recipe), index) == expected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.floats(0.001, 0.08),
)
def test_spread_keeps_order_gap_and_bounds(positions: list[float], gap: float) -> None:
    moved = style.spread(positions, gap, 0, 1)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    steps = np.diff([moved[i] for i in order])
    assert np.all(steps >= gap - 1e-9)
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9


def test_spread_leaves_what_is_apart_and_centres_what_is_not() -> None:
    assert style.spread([0.9, 0.1], 0.1, 0, 1) == [0.9, 0.1]
    assert style.spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
    assert style.spread([1.0, 1.0, 1.0], 0.1, 0, 1) == pytest.approx([0.8, 0.9, 1.0])


def test_spread_shrinks_the_gap_when_all_cannot_fit() -> None:
    assert style.spread([0.5] * 5, 1.0, 0, 1) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_charts_leave_pyplot_alone() -> None:
    code = "import rpmask.charts, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_charts_know_no_mlflow() -> None:
    code = "import rpmask.charts, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_long_titles_wrap_and_the_figure_grows() -> None:
    short = style.framed(2.0, "Title", "part")
    long = style.framed(2.0, "word " * 30, style.DOT.join(["a part of some length"] * 12))
    assert long.get_figheight() > short.get_figheight()
    assert long.get_figwidth() == short.get_figwidth() == 8
    longest = max(long.texts, key=lambda text: text.get_window_extent().width)
    assert longest.get_window_extent().x1 <= long.bbox.x1


def test_heat_ink_is_readable_at_both_ends() -> None:
    assert style.ink_on(0.0) == style.BLACK
    assert style.ink_on(1.0) == "white"


def test_a_dollar_in_a_name_is_not_a_formula() -> None:
    figure = style.framed(1.0, r"$\nothing$ $", r"$\either$")
    assert r"$\nothing$ $" in words(figure)
