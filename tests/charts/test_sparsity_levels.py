"""The metric of every level is compared with the dense model's."""

from __future__ import annotations

import math

import pytest
from chart_records import line, result, words

from rpmask import charts


def test_levels_are_drawn_from_the_densest_to_the_sparsest() -> None:
    figure = charts.levels([result(0.9375, 0.76), result(0.5, 0.8), result(0.75, 0.78)])
    axes = figure.axes[0]
    drawn = line(axes, "sparse")
    assert drawn[:, 1].tolist() == [0.8, 0.78, 0.76]
    assert line(axes, "dense 0.8")[:, 1] == pytest.approx([0.8, 0.8])
    assert line(axes, "constant answer 0.5")[:, 1] == pytest.approx([0.5, 0.5])
    text = words(figure)
    for expected in ("93.75%\n16×", "50%\n2×", "95.0%", "97.5%", "dense 0.8", "dev accuracy"):
        assert expected in text


def test_levels_of_one_level_without_majority_or_dense() -> None:
    only = result(0.9, 0.7, majority={}, dense={}, retention=math.nan)
    figure = charts.levels([only])
    assert line(figure.axes[0], "sparse").tolist() == [[0, 0.7]]
    text = words(figure)
    assert "majority" not in text
    assert "nan" not in text
    assert "percentages" not in text


def test_levels_leave_out_a_level_without_a_metric() -> None:
    figure = charts.levels([result(0.5, 0.8), result(0.9, math.nan), result(0.95, 0.7, dev={})])
    assert len(line(figure.axes[0], "sparse")) == 1


def test_levels_without_a_metric_are_a_sentence() -> None:
    assert "No level has a dev metric yet" in words(charts.levels([result(0.9, math.nan)]))
