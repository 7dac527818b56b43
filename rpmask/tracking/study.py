"""The Optuna study as the ledger of the sampling hyperparameters: ask, report, tell.

`sample` asks for the temperature, the sample ratio, the importance and the allocation of every
candidate with randomness; `screen` reports each rung and tells the end. A study belongs to one
`sample` run unless that run says it continues another's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from rpmask.errors import RpmaskError
from rpmask.records import SAMPLERS, RacedCandidate, SearchSpace


@dataclass(frozen=True)
class Asked:
    """One trial's proposal."""

    trial: int
    temperature: float
    sample_ratio: float
    importance: str
    allocation: float


class Ledger:
    """One study in a journal file beside the tracking database, or in any RDB."""

    def __init__(
        self, storage: str | None, folder: Path, name: str, *, sampler: str, seed: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name = name
        self._storage = _storage(storage, folder)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            sampler=_sampler(sampler, seed),
            direction="minimize",
            load_if_exists=True,
        )

    def abandon_unfinished(self) -> None:
        """Mark trials that an interrupted `sample` asked for and nobody will ever run."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    def ask(self, space: SearchSpace) -> Asked:
        """The study's next proposal."""
        trial = self._study.ask()
        return Asked(
            trial=trial.number,
            temperature=_range(trial, "temperature", space.temperature),
            sample_ratio=_range(trial, "sample_ratio", space.sample_ratio),
            importance=trial.suggest_categorical("importance", space.importances),
            allocation=float(trial.suggest_categorical("allocation", space.allocations)),
        )

    def tell(self, trial: int, raced: RacedCandidate) -> None:
        """Report a candidate's rungs and close its trial; telling twice changes nothing."""
        frozen = self._study.get_trials(deepcopy=False)[trial]
        if frozen.state.is_finished():
            return
        # Optuna has no public way to reopen a trial by number; the constructor is public.
        handle = Trial(self._study, frozen._trial_id)
        for score in raced.rungs:
            if math.isfinite(score.loss):
                handle.report(score.loss, score.step)
        if raced.status == "failed":
            self._study.tell(trial, state=TrialState.FAIL)
        elif raced.status == "stopped":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, raced.rungs[-1].loss)

    def history(self) -> list[dict[str, Any]]:
        """Every trial: number, state, value, parameters."""
        return [
            {"number": t.number, "state": t.state.name, "value": t.value, **t.params}
            for t in self._study.get_trials(deepcopy=False)
        ]


def study_exists(storage: str | None, folder: Path, name: str) -> bool:
    """Whether a study of this name is in the storage."""
    return name in optuna.get_all_study_names(_storage(storage, folder))


def _storage(url: str | None, folder: Path) -> BaseStorage:
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy and its drivers raise their own families
        raise RpmaskError(
            f"The Optuna storage '{url}' cannot be used: {str(error).splitlines()[0]}",
            "Give an RDB URL such as sqlite:///optuna.db, or leave --storage out.",
        ) from error


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "qmc":
        return optuna.samplers.QMCSampler(seed=seed, warn_asynchronous_seeding=False)
    raise RpmaskError(f"There is no sampler '{name}'.", f"Choose one of {', '.join(SAMPLERS)}.")


def _range(trial: Trial, name: str, ends: Sequence[float]) -> float:
    low, high = min(ends), max(ends)
    if low == high:
        return trial.suggest_float(name, low, high)
    return trial.suggest_float(name, low, high, log=True)
