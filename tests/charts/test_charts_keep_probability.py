"""Bars, curve and cut of the importance histogram are those given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from chart_records import words
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from rpmask import charts
from rpmask.errors import RpmaskError


def histogram(**changed: object) -> charts.KeepHistogram:
    made = charts.KeepHistogram(
        name="layer.0.query",
        edges=np.array([-4.0, -3.0, -2.0, -1.0, 0.0]),
        counts=np.array([40, 30, 20, 10]),
        keep=np.array([0.0, 0.1, 0.35, 1.0]),
    )
    return replace(made, **changed)


def heights(axes: Axes) -> list[list[float]]:
    """The bars, all of them and their dark part."""
    drawn = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    return [np.asarray(patch.get_data().values).tolist() for patch in drawn]


def test_cut_leaves_as_many_weights_above_as_are_expected_to_stay() -> None:
    # 3 + 7 + 10 weights are expected: the upper 10 and half of the 20 below them.
    assert histogram().expected.tolist() == [0, 3, 7, 10]
    assert histogram().cut == pytest.approx(-1.5)


def test_keep_probability_draws_bars_curve_and_cut() -> None:
    figure = charts.keep_probability([histogram(zeros=1203)], what="magnitude T=0.2")
    bars, curve = figure.axes
    assert heights(bars) == [[40, 30, 20, 10], [0, 3, 7, 10]]
    assert curve.lines[0].get_ydata().tolist() == [0.0, 0.1, 0.35, 1.0]
    assert curve.lines[0].get_xdata().tolist() == [-3.5, -2.5, -1.5, -0.5]
    assert bars.lines[0].get_xdata() == pytest.approx([-1.5, -1.5])
    text = words(figure)
    for expected in (
        "Keep-probability over importance: magnitude T=0.2",
        "layer.0.query",
        "log10 importance",
        "weights per bin",
        "keep-probability",
        "+ 1,203 of importance 0",
    ):
        assert expected in text


def test_keep_probability_of_an_empty_bin_may_be_nan() -> None:
    gap = histogram(counts=np.array([40, 0, 20, 10]), keep=np.array([0.0, math.nan, 0.5, 1.0]))
    figure = charts.keep_probability([gap])
    assert figure.axes[1].lines[0].get_xdata().tolist() == [-3.5, -1.5, -0.5]
    assert gap.expected.sum() == 20
    figure.canvas.draw()


def test_keep_probability_gives_each_tensor_a_panel() -> None:
    figure = charts.keep_probability([histogram(name=f"layer.{i}") for i in range(3)])
    text = words(figure)
    assert all(f"layer.{i}" in text for i in range(3))
    assert sum(axes.get_visible() for axes in figure.axes) == 6  # three panels, two axes each


def test_keep_probability_of_nothing_is_a_sentence() -> None:
    empty = histogram(counts=np.zeros(4), keep=np.full(4, math.nan), zeros=100)
    assert "nothing to draw from" in words(charts.keep_probability([empty]))


def test_histogram_of_the_wrong_lengths_is_refused() -> None:
    with pytest.raises(RpmaskError, match="4 edges, 4 counts and 4 keep"):
        histogram(edges=np.arange(4.0))


def test_the_dark_part_is_what_a_mask_kept_where_one_is_given() -> None:
    shown = histogram(kept=np.array([0, 2, 9, 10]))
    figure = charts.keep_probability([shown])
    assert heights(figure.axes[0]) == [[40, 30, 20, 10], [0, 2, 9, 10]]
    assert "dark bars: kept by this mask" in words(figure)
    assert "21 of 100 weights stay" in figure.get_label()
