"""The evidence shows every paired difference and states the verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from chart_records import (
    FULL_RACE,
    THREE,
    candidate,
    line,
    pool_of,
    raced,
    report_of,
    selection_of,
    words,
)
from matplotlib.figure import Figure

from rpmask import charts


def effect_rows(figure: Figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def test_effect_orders_rows_marks_the_winner_and_states_the_verdict() -> None:
    paired = {1: (0.04, 0.02, 0.06), 3: (-0.01, -0.03, 0.01), 0: (0.0, 0.0, 0.0)}
    figure = charts.effect(selection_of(), FULL_RACE, pool_of(5), paired)
    one = charts.label(candidate(1), 1)
    assert effect_rows(figure) == [THREE, "control", f"{one}, winner"]
    text = words(figure)
    assert f"Better: {one} beats the control by 0.04" in text
    assert "[0.01,\u00a00.07]" in text
    assert "95% paired intervals" in text
    assert "stopped or failed: #2, #4" in text
    assert "held-out loss of the control minus the candidate's" in text
    assert "+0.0400" in text
    assert "-0.0100" in text


def test_effect_draws_each_interval_and_the_corrected_one() -> None:
    paired = {1: (0.04, 0.02, 0.06), 3: (-0.01, -0.03, 0.01)}
    axes = charts.effect(selection_of(), FULL_RACE, pool_of(5), paired).axes[0]
    spans = {tuple(drawn.get_xdata()) for drawn in axes.lines if len(drawn.get_xdata()) == 2}
    assert {(0.02, 0.06), (-0.03, 0.01), (0.01, 0.07)} <= spans
    low, high = axes.get_xlim()
    assert low < -0.03
    assert high > 0.07
    assert line(axes, "control")[:, 0].tolist() == [0, 0]


def test_effect_draws_no_second_interval_where_it_is_the_same() -> None:
    same = selection_of(interval=(0.02, 0.06))
    figure = charts.effect(same, FULL_RACE, pool_of(5), {1: (0.04, 0.02, 0.06)})
    spans = [drawn for drawn in figure.axes[0].lines if tuple(drawn.get_xdata()) == (0.02, 0.06)]
    assert len(spans) == 1
    assert "corrected" not in words(figure)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [("no-evidence", "No evidence that"), ("worse", "Worse: the best other mask")],
)
def test_effect_says_when_the_control_is_kept(verdict: str, sentence: str) -> None:
    kept = selection_of(winner=0, verdict=verdict, effect=0.001, interval=(-0.01, 0.012))
    figure = charts.effect(kept, FULL_RACE, pool_of(5), {1: (0.001, -0.01, 0.012)})
    assert sentence in words(figure)
    assert "control, winner" in effect_rows(figure)


def test_effect_without_a_second_finisher_is_a_sentence() -> None:
    alone = selection_of(
        winner=0, best=0, verdict="no-evidence", effect=0.0, interval=(), compared=0
    )
    figure = charts.effect(alone, report_of(raced(0, [0.5])), pool_of(1), {})
    assert not figure.axes
    assert "the control is kept" in words(figure)


def test_effect_leaves_out_a_difference_that_is_not_a_number() -> None:
    paired = {1: (0.04, 0.02, 0.06), 3: (math.nan, math.nan, math.nan)}
    figure = charts.effect(selection_of(), FULL_RACE, pool_of(5), paired)
    assert THREE not in effect_rows(figure)
    assert "stopped or failed: #2, #3, #4" in words(figure)


def test_effect_draws_the_mean_where_the_interval_is_not_a_number() -> None:
    paired = {1: (0.04, 0.02, 0.06), 3: (-0.01, math.nan, math.nan)}
    assert THREE in effect_rows(charts.effect(selection_of(), FULL_RACE, pool_of(5), paired))


def test_the_noise_of_training_is_a_band_and_is_named() -> None:
    selection = replace(selection_of(), noise=0.015, twins=3, shrunk=0.02)
    paired = {1: (0.04, 0.02, 0.06), 0: (0.0, 0.0, 0.0)}
    figure = charts.effect(selection, FULL_RACE, pool_of(5), paired)
    assert "noise of training, ±0.015 between 3 twins" in words(figure)
    assert "loss of the control and its twins minus" in words(figure)
    assert "about 0.02 of the best mask's effect may last" in words(figure).replace("\n", " ")
    (band,) = figure.axes[0].patches
    assert band.get_x() == pytest.approx(-0.015)
    assert band.get_width() == pytest.approx(0.03)
