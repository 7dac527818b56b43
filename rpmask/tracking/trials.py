"""Read the trials of a study: how each one ended, and which hyperparameters matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

ENOUGH = 8  # complete trials; with fewer, importances are noise


@dataclass(frozen=True)
class TrialRecord:
    """How one trial ended; the value of a pruned one is that of its last rung.

    state: `complete`, `pruned`, `failed`, `running` or `waiting`.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]


def trial_record(trial: FrozenTrial) -> TrialRecord:
    """The record of an Optuna trial."""
    state = "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
    reported = trial.intermediate_values
    value = trial.value
    if trial.state != TrialState.COMPLETE:
        value = reported[max(reported)] if reported else None
    return TrialRecord(trial.number, state, value, dict(trial.params))


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the variation that each hyperparameter explains; empty with too few trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) == 1:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
