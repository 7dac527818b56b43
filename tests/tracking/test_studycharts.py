"""Optuna's charts of a study: complete trials as dots and lines, the others counted, pyplot left alone."""

from __future__ import annotations

import warnings

import matplotlib
import pytest
from charts.chart_records import words
from matplotlib import pyplot
from optuna import Study, create_study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from rpmask.tracking.studycharts import study_charts
from rpmask.tracking.trials import importances

SPACE = {
    "importance": CategoricalDistribution(["magnitude", "fisher"]),
    "temperature": FloatDistribution(0.01, 1.0, log=True),
}


def study_of(*values: float | None) -> Study:
    """One trial per value; None is a failed one, a negative value a pruned one."""
    study = create_study()
    for number, value in enumerate(values):
        pruned = value is not None and value < 0
        states = {True: TrialState.PRUNED, False: TrialState.COMPLETE}
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else states[pruned],
                value=None if pruned else value,
                params={
                    "importance": ["magnitude", "fisher"][number % 2],
                    "temperature": 0.01 * (number + 1),
                },
                distributions=SPACE,
            )
        )
    return study


def test_history_draws_complete_trials_and_counts_the_others() -> None:
    history = study_charts(study_of(0.5, 0.3, -0.2, None, 0.4), "held-out loss")[0]
    assert history.name == "tuning-history"
    axes = history.figure.axes[0]
    dots = [offset for found in axes.collections for offset in found.get_offsets().tolist()]
    assert dots == [[0, 0.5], [1, 0.3], [4, 0.4]]
    assert axes.lines[0].get_ydata()[-1] == 0.3
    text = words(history.figure)
    assert "Tuning history: held-out loss of 5 trials" in text
    assert "3 complete, 1 pruned, 1 failed" in text
    assert "The lowest held-out loss is 0.3000, with" in history.figure.get_label()
    assert "importance fisher, temperature 0.02" in history.figure.get_label()


def test_every_hyperparameter_is_an_axis_and_every_complete_trial_a_line() -> None:
    parallel = study_charts(study_of(0.5, 0.3, 0.4, None), "held-out loss")[2]
    assert parallel.name == "tuning-parallel"
    axes = parallel.figure.axes[0]
    assert len(axes.collections[0].get_segments()) == 3
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["held-out loss", "importance", "temperature"]
    assert {"magnitude", "fisher", "0.01", "0.03"} <= set(words(parallel.figure).splitlines())


def test_importances_are_bars_and_words() -> None:
    study = study_of(*(0.5 + 0.01 * (number % 7) for number in range(16)))
    shares = importances(study)
    bars = study_charts(study, "held-out loss")[1]
    assert bars.name == "tuning-importances"
    axes = bars.figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    widths = [bar.get_width() for bar in axes.patches]
    assert dict(zip(names, widths, strict=True)) == pytest.approx(shares)
    for name, share in shares.items():
        assert f"{name} {share:.2f}" in bars.figure.get_label()


@pytest.mark.parametrize("values", [(), (None,), (-0.5,)])
def test_a_study_without_a_complete_trial_gets_sentences(values: tuple[float | None, ...]) -> None:
    for chart in study_charts(study_of(*values), "held-out loss"):
        assert not chart.figure.axes
        assert "Too few trials are complete" in words(chart.figure)


def test_pyplot_is_left_as_it_was_and_nothing_warns() -> None:
    figures, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chart in study_charts(study_of(0.5, 0.3, 0.4), "held-out loss"):
            chart.figure.canvas.draw()
    assert pyplot.get_fignums() == figures
    assert {k: v for k, v in matplotlib.rcParams.items() if k != "backend"} == {
        k: v for k, v in settings.items() if k != "backend"
    }
