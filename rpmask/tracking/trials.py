"""Which hyperparameters matter in the trials of a study."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

ENOUGH = 8  # complete trials; with fewer, importances are noise


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the variation that each hyperparameter explains; empty with too few trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) == 1:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
