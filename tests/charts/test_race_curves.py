"""The race shows every rung of every candidate and says how each one ended."""

from __future__ import annotations

import math
from dataclasses import replace

from chart_records import FULL_RACE, THREE, candidate, line, pool_of, raced, report_of, words

from rpmask import charts


def test_race_draws_every_rung_of_every_finisher() -> None:
    figure = charts.race(FULL_RACE, pool_of(5), winner=1)
    axes = figure.axes[0]
    winner = line(axes, charts.label(candidate(1), 1) + ", winner")
    assert winner.tolist() == [[10, 0.5], [20, 0.4], [30, 0.35], [40, 0.31]]
    assert line(axes, "control")[:, 1].tolist() == [0.6, 0.5, 0.45, 0.42]
    assert line(axes, THREE)[-1].tolist() == [40, 0.33]


def test_a_stopped_candidate_is_paler_and_ends_at_its_last_step() -> None:
    axes = charts.race(FULL_RACE, pool_of(5)).axes[0]
    name = f"{charts.label(candidate(2), 2)}, stopped"
    assert line(axes, name).tolist() == [[10, 0.7], [20, 0.65]]
    alphas = {drawn.get_label(): drawn.get_alpha() for drawn in axes.lines}
    assert alphas[name] < alphas[THREE] == 1


def test_the_legend_tells_every_candidate_apart_and_follows_the_curves() -> None:
    """Finished candidates from the highest last loss to the lowest, below those that ended early."""
    axes = charts.race(FULL_RACE, pool_of(5), winner=1).axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [name.partition("#")[2] or name for name in names] == [
        *("2, stopped", "4, failed", "control", "3", "1, winner"),
    ]
    drawn = [drawn for drawn in axes.lines if drawn.get_label() in names]
    assert len({(drawn.get_color(), drawn.get_marker()) for drawn in drawn}) == len(names)


def test_the_legend_is_outside_the_axes() -> None:
    figure = charts.race(FULL_RACE, pool_of(5), winner=1)
    figure.canvas.draw()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= figure.bbox.y0


def test_race_says_what_is_on_it() -> None:
    text = words(charts.race(FULL_RACE, pool_of(5), winner=1))
    assert "Race of 5 masks: rte, level 4, 93.75% sparse" in text
    assert "3 finished, 1 stopped early, 1 failed" in text
    assert "130 of 160 training steps spent" in text
    assert "training step" in text
    assert "held-out loss" in text
    assert "means of 1,500 examples" in text
    assert f"{charts.label(candidate(2), 2)}, stopped" in text
    assert f"{charts.label(candidate(4), 4)}, failed" in text


def test_a_distilled_race_shows_what_it_ranks_by() -> None:
    far = [
        replace(
            raced(i, (0.9, 0.2)),
            rungs=tuple(
                replace(rung, distance=rung.loss - 0.01 * i) for rung in raced(i, (0.9, 0.2)).rungs
            ),
        )
        for i in range(2)
    ]
    text = words(charts.race(report_of(*far), pool_of(2)))
    assert "distance from the dense model, log scale" in text
    assert "held-out loss" not in text


def test_race_without_a_winner_highlights_the_lowest_loss() -> None:
    text = words(charts.race(FULL_RACE, pool_of(5)))
    assert f"{charts.label(candidate(1), 1)}, lowest" in text
    assert "winner" not in text


def test_race_control_has_its_own_style() -> None:
    axes = charts.race(FULL_RACE, pool_of(5), winner=1).axes[0]
    control = next(drawn for drawn in axes.lines if drawn.get_label() == "control")
    other = next(drawn for drawn in axes.lines if drawn.get_label() == THREE)
    assert control.get_linestyle() == "--"
    assert other.get_linestyle() == "-"
    assert control.get_color() != other.get_color()


def test_race_scale_is_linear_unless_losses_differ_threefold() -> None:
    near = report_of(raced(0, [0.5, 0.4]), raced(1, [0.45, 0.38]))
    assert charts.race(near, pool_of(2)).axes[0].get_yscale() == "linear"
    far = report_of(raced(0, [2.5, 0.4]), raced(1, [2.1, 0.38]))
    assert charts.race(far, pool_of(2)).axes[0].get_yscale() == "log"


def test_race_of_one_candidate_with_one_rung_draws_a_point() -> None:
    figure = charts.race(report_of(raced(0, [0.5])), pool_of(1))
    assert line(figure.axes[0], "control").tolist() == [[10, 0.5]]
    assert figure.axes[0].lines[0].get_marker() == "o"
    assert "Race of 1 mask:" in words(figure)


def test_race_in_which_all_failed_is_a_sentence() -> None:
    failed = report_of(raced(0, [math.nan], "failed"), raced(1, [], "failed"))
    figure = charts.race(failed, pool_of(2))
    assert not figure.axes
    assert "No candidate has a finite score: control, failed" in words(figure)


def test_race_lists_a_candidate_that_failed_at_once() -> None:
    figure = charts.race(report_of(raced(0, [0.5, 0.4]), raced(1, [], "failed")), pool_of(2))
    assert f"{charts.label(candidate(1), 1)}, failed at once" in words(figure)


def test_twins_are_drawn_thin_and_counted() -> None:
    twins = tuple(raced(5 + i, [0.9, 0.6 + i / 10]) for i in range(2))
    figure = charts.race(replace(FULL_RACE, twins=twins), pool_of(5))
    plain = charts.race(FULL_RACE, pool_of(5))
    assert "2 twins of the control" in words(figure)
    assert len(figure.axes[0].lines) == len(plain.axes[0].lines) + 2
