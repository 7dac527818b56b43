"""How a study proposes a draw: the parameters that it suggests, and the seeded samplers that choose them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from rpmask.errors import RpmaskError
from rpmask.records import SAMPLERS, SearchSpace

LAST = "allocation"  # the parameter that is asked for last


@dataclass(frozen=True)
class Asked:
    """One trial's proposal."""

    trial: int
    temperature: float
    sample_ratio: float
    importance: str
    allocation: float


def suggested(trial: Trial, space: SearchSpace) -> Asked:
    """Ask a new trial for its parameters: of a range any value, of a list one of its values."""
    for name in ("temperature", "sample_ratio"):
        values = getattr(space, name)
        if name in space.lists:
            trial.suggest_categorical(name, values)
        else:
            low, high = min(values), max(values)
            trial.suggest_float(name, low, high, log=low < high)
    trial.suggest_categorical("importance", space.importances)
    trial.suggest_categorical(LAST, space.allocations)
    return asked_of(trial)


def asked_of(trial: Trial | FrozenTrial) -> Asked:
    """What a trial with all of its parameters proposes."""
    params = trial.params
    return Asked(
        trial=trial.number,
        temperature=params["temperature"],
        sample_ratio=params["sample_ratio"],
        importance=params["importance"],
        allocation=float(params[LAST]),
    )


def seeded_sampler(name: str, seed: int, nth: int) -> optuna.samplers.BaseSampler:
    """The sampler for the nth proposal of a pool."""
    stream = int(np.random.SeedSequence((seed, nth)).generate_state(1)[0])
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=stream)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=stream)
    if name == "qmc":  # a sequence: the storage counts its points, and all of them need one seed
        return optuna.samplers.QMCSampler(seed=seed, warn_asynchronous_seeding=False)
    raise RpmaskError(f"There is no sampler '{name}'.", f"Choose one of {', '.join(SAMPLERS)}.")
