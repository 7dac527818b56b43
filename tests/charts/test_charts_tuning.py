"""Every trial is shown in its state, and the best so far never counts a pruned one."""

from __future__ import annotations

import math

import pytest
from chart_records import line, words

from rpmask import charts


def test_tuning_history_shows_states_and_the_best_so_far() -> None:
    trials = [
        charts.TrialValue(0, 0.5),
        charts.TrialValue(1, 0.3),
        charts.TrialValue(2, 0.2, "pruned"),
        charts.TrialValue(3, None, "failed"),
        charts.TrialValue(4, 0.4),
        charts.TrialValue(5, None, "running"),
        charts.TrialValue(6, math.nan),
    ]
    figure = charts.tuning_history(trials)
    axes = figure.axes[0]
    # A pruned trial's last value is not a result, however low it lies.
    assert line(axes, "best so far")[:, 1].tolist() == [0.5, 0.3, 0.3, 0.3]
    assert line(axes, "failed")[:, 0].tolist() == [3]
    dots = {found.get_label(): found.get_offsets().tolist() for found in axes.collections}
    assert dots["complete"] == [[0, 0.5], [1, 0.3], [4, 0.4]]
    assert dots["pruned, last value"] == [[2, 0.2]]
    text = words(figure)
    assert "held-out loss of 7 trials" in text
    assert "4 complete, 1 pruned, 1 failed, 1 running" in text


def test_tuning_history_can_maximize() -> None:
    trials = [charts.TrialValue(0, 0.5), charts.TrialValue(1, 0.3), charts.TrialValue(2, 0.7)]
    axes = charts.tuning_history(trials, value_name="accuracy", maximize=True).axes[0]
    assert line(axes, "best so far")[:, 1].tolist() == [0.5, 0.5, 0.7, 0.7]
    assert axes.get_ylabel() == "accuracy"


@pytest.mark.parametrize("trials", [[], [charts.TrialValue(0, None, "failed")]])
def test_tuning_history_without_a_value_is_a_sentence(trials: list[charts.TrialValue]) -> None:
    assert "No trial has a value yet" in words(charts.tuning_history(trials))


def test_importances_are_sorted_with_the_largest_on_top() -> None:
    figure = charts.importances({"temperature": 0.1, "importance": 0.7, "allocation": 0.2})
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["temperature", "allocation", "importance"]
    assert "0.70" in words(figure)


@pytest.mark.parametrize("values", [{}, {"temperature": math.nan}])
def test_importances_of_nothing_are_a_sentence(values: dict[str, float]) -> None:
    assert "Too few trials" in words(charts.importances(values))
