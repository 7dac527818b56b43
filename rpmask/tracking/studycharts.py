"""Charts of an Optuna study: its history, its importances, and its parallel coordinates."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots

from rpmask.tracking.runs import Chart
from rpmask.tracking.trials import importances

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def study_charts(study: Study, measured: str) -> list[Chart]:
    """Draw the charts; `measured` names the value of a trial. Optuna draws complete trials only."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(
        "failed" if trial.state == TrialState.FAIL else trial.state.name.lower() for trial in trials
    )
    complete = states["complete"]
    counts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    shares = importances(study)
    lowest = ""
    if complete:
        best = study.best_trial
        settings = ", ".join(
            f"{name} {f'{value:.3g}' if isinstance(value, float) else value}"
            for name, value in best.params.items()
        )
        lowest = f"The lowest {measured} is {best.value:.4f}, with {settings}."
    # Optuna marks its plots as experimental.
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return [
            _chart(
                "tuning-history",
                f"Every complete trial, and the lowest {measured} so far.",
                title=f"Tuning history: {measured} of {len(trials)} trials",
                subtitle=counts,
                description=lowest,
                plot=lambda: _history(study, measured),
                drawable=complete > 0,
            ),
            _chart(
                "tuning-importances",
                f"What the {measured} depended on.",
                title="What mattered: importance of the sampling hyperparameters",
                subtitle="",
                description=", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
                plot=lambda: plots.plot_param_importances(
                    study, evaluator=PedAnovaImportanceEvaluator(), target_name=measured
                ),
                drawable=bool(shares),
            ),
            _chart(
                "tuning-parallel",
                f"Every complete trial through its hyperparameters to its {measured}.",
                title="The hyperparameters of every complete trial",
                subtitle=f"one line per trial: the darker, the lower its {measured}",
                description=lowest,
                plot=lambda: plots.plot_parallel_coordinate(study, target_name=measured),
                drawable=complete > 1,
            ),
        ]


def _history(study: Study, measured: str) -> Axes:
    axes = plots.plot_optimization_history(study, target_name=measured)
    axes.locator_params(axis="x", integer=True)  # trials are numbered
    return axes


def _chart(
    name: str,
    caption: str,
    *,
    title: str,
    subtitle: str,
    description: str,
    plot: Callable[[], Axes],
    drawable: bool,
) -> Chart:
    from rpmask import charts

    if not drawable:
        return Chart(name, caption, charts.note(title, "Too few trials are complete."))
    parts = [title, subtitle, description]
    spoken = " ".join(f"{part.removesuffix('.')}." for part in parts if part)
    return Chart(name, caption, charts.adopt(plot, 3.5, title, subtitle, description=spoken))
