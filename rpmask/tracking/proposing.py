"""The hyperparameters that a study proposes for a mask, and the seeded samplers that choose them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from rpmask.errors import RpmaskError
from rpmask.records import SAMPLERS, SearchSpace

LAST = "allocation"  # the parameter that is suggested last


@dataclass(frozen=True)
class Proposal:
    """The hyperparameters of one trial."""

    trial: int
    temperature: float
    sample_ratio: float
    importance: str
    allocation: float


def suggest(trial: Trial, space: SearchSpace) -> Proposal:
    """Suggest the parameters of a new trial: any value of a range, or one value of a list."""
    for name in ("temperature", "sample_ratio"):
        values = getattr(space, name)
        if name in space.lists:
            trial.suggest_categorical(name, values)
        else:
            low, high = min(values), max(values)
            trial.suggest_float(name, low, high, log=low < high)
    trial.suggest_categorical("importance", space.importances)
    trial.suggest_categorical(LAST, space.allocations)
    return proposal_of(trial)


def proposal_of(trial: Trial | FrozenTrial) -> Proposal:
    """The proposal of a trial that has all of its parameters."""
    params = trial.params
    return Proposal(
        trial=trial.number,
        temperature=params["temperature"],
        sample_ratio=params["sample_ratio"],
        importance=params["importance"],
        allocation=float(params[LAST]),
    )


def seeded_sampler(name: str, seed: int, nth: int) -> optuna.samplers.BaseSampler:
    """The sampler for the nth proposal for a pool."""
    stream = int(np.random.SeedSequence((seed, nth)).generate_state(1)[0])
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=stream)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=stream)
    if name == "qmc":  # one sequence for all proposals: the storage counts its points
        return optuna.samplers.QMCSampler(seed=seed, warn_asynchronous_seeding=False)
    raise RpmaskError(f"There is no sampler '{name}'.", f"Choose one of {', '.join(SAMPLERS)}.")
