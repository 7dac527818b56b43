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
from rpmask.charts.keep_histograms import threshold
from rpmask.randomized_masks.keep_curves import KeepBins


def histogram(**changed: object) -> KeepBins:
    made = KeepBins(
        name="layer.0.query",
        edges=np.array([-4.0, -3.0, -2.0, -1.0, 0.0]),
        counts=np.array([40, 30, 20, 10]),
        keep=np.array([0.0, 0.1, 0.35, 1.0]),
        kept=np.array([0, 3, 7, 10]),
        zeros=0,
    )
    return replace(made, **changed)


def heights(axes: Axes) -> list[list[float]]:
    """The bars, all of them and their dark part."""
    drawn = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    return [np.asarray(patch.get_data().values).tolist() for patch in drawn]


def test_as_many_weights_lie_above_the_threshold_as_are_kept() -> None:
    # 3 + 7 + 10 weights are kept: the upper 10 and half of the 20 below them.
    assert threshold(histogram()) == pytest.approx(-1.5)


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
        "and 1,203 of importance 0",
    ):
        assert expected in text


def test_keep_probability_of_an_empty_bin_may_be_nan() -> None:
    gap = histogram(counts=np.array([40, 0, 20, 10]), keep=np.array([0.0, math.nan, 0.5, 1.0]))
    figure = charts.keep_probability([gap], what="x")
    assert figure.axes[1].lines[0].get_xdata().tolist() == [-3.5, -1.5, -0.5]
    figure.canvas.draw()


def test_keep_probability_gives_each_tensor_a_panel() -> None:
    figure = charts.keep_probability([histogram(name=f"layer.{i}") for i in range(3)], what="x")
    text = words(figure)
    assert all(f"layer.{i}" in text for i in range(3))
    assert sum(axes.get_visible() for axes in figure.axes) == 6  # three panels, two axes each


def test_the_dark_part_is_what_the_mask_kept() -> None:
    figure = charts.keep_probability([histogram(kept=np.array([0, 2, 9, 10]))], what="x")
    assert heights(figure.axes[0]) == [[40, 30, 20, 10], [0, 2, 9, 10]]
    assert "dark bars: kept by this mask" in words(figure)
    assert "21 of 100 weights kept" in figure.get_label()
