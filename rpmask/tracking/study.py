"""The Optuna study as the ledger of the sampling hyperparameters: ask, report, tell.

`sample` asks for the temperature, the sample ratio, the importance and the allocation of every
candidate with randomness; `screen` reports each rung and tells the end. A study belongs to one
`sample` run unless that run says it continues another's. It learns from one race of each pool: a pool that
is raced again in another way begins a study of its own, with what was known before that race.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from rpmask.errors import RpmaskError
from rpmask.logs import is_verbose
from rpmask.records import RacedCandidate, SearchSpace
from rpmask.tracking.journal import open_journal
from rpmask.tracking.locks import hold_lock
from rpmask.tracking.proposing import LAST, Asked, asked_of, seeded_sampler, suggested

OWNER = "pool"  # the trial attribute that names the `sample` run
KIND = "ranked-by"  # the study attribute that says what its trials' values are
CENTRES = "centres"  # the study attributes of the pools that hold masks without noise
RACE = "race"  # the study attributes that name the race of each pool it learns from
WAS = "was"  # the number that a trial had in the study that this one was copied from
WHOLE = "whole"  # the study attribute of a copy that was made to its end
ENOUGH = 8  # complete trials below which importances are noise


Centre = tuple[str, float]  # importance, allocation


@dataclass(frozen=True)
class Told:
    """How one trial went; the value of a pruned one is its last rung's.

    state: `complete`, `pruned`, `failed`, `running` or `waiting`.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]


class Ledger:
    """One study in a journal file beside the tracking database, or in any RDB.

    A trial belongs to the `sample` run that asked for it, its owner, and stays open until the screening
    of that pool tells how it ended.
    """

    def __init__(self, storage: str | None, folder: Path, name: str) -> None:
        if not is_verbose():
            optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name = name
        self._url, self._folder = storage, folder
        self._place = storage or str(folder.resolve())
        self._storage = _storage(storage, folder)
        self._study = optuna.create_study(
            storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
        )

    def agree(self, space: SearchSpace) -> SearchSpace:
        """The space of this study: the first one it was asked with; the default follows it."""
        known = self._study.user_attrs.get("space")
        if known is None:
            self._study.set_user_attr("space", space.to_dict())
            return space
        settled = SearchSpace.from_dict(known)
        if space not in (settled, SearchSpace()):
            raise RpmaskError(
                f"The study '{self.name}' searches another space than the one asked for: "
                f"{_differences(settled, space)}.",
                "Leave those options out to continue it, or leave --like out for a study of its own.",
            )
        return settled

    def ask(self, space: SearchSpace, *, owner: str, nth: int, sampler: str, seed: int) -> Asked:
        """The nth proposal for a pool; one that an interrupted `sample` had asked for comes again.

        The sampler is seeded for each proposal, so that what it proposes depends on the trials told
        before and not on how often the command was interrupted.
        """
        self._study.sampler = seeded_sampler(sampler, seed, nth)
        with hold_lock(f"study|{self._place}|{self.name}"):
            self._forget_half_asked(owner)
            own = [trial for trial in self._open() if trial.user_attrs.get(OWNER) == owner]
            if nth < len(own):
                return asked_of(own[nth])
            trial = self._study.ask()
            trial.set_user_attr(OWNER, owner)
            return suggested(trial, space)

    def _forget_half_asked(self, owner: str) -> None:
        """Close trials that a kill left without their owner or without all of their parameters.

        The sampler would draw what is missing from another place of its stream.
        """
        for trial in self._open():
            if trial.user_attrs.get(OWNER, owner) == owner and LAST not in trial.params:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def claim_centres(self, owner: str, wanted: Sequence[Centre], room: int) -> list[Centre]:
        """The first of these masks without noise that no other pool of the study holds; now this one does.

        An interrupted pool is given its own again.
        """
        with hold_lock(f"study|{self._place}|{self.name}"):
            held = {
                centre for other, theirs in self._claims() if other != owner for centre in theirs
            }
            free = [centre for centre in dict.fromkeys(wanted) if centre not in held][:room]
            if free:
                self._study.set_user_attr(f"{CENTRES}/{owner}", [list(centre) for centre in free])
            return free

    def _claims(self) -> list[tuple[str, list[Centre]]]:
        return [
            (name.removeprefix(f"{CENTRES}/"), [(kind, float(share)) for kind, share in pairs])
            for name, pairs in self._study.user_attrs.items()
            if name.startswith(f"{CENTRES}/")
        ]

    def owners(self) -> set[str]:
        """The `sample` runs with open trials or with centres."""
        open_trials = {
            trial.user_attrs[OWNER] for trial in self._open() if OWNER in trial.user_attrs
        }
        return open_trials | {owner for owner, centres in self._claims() if centres}

    def abandon(self, owner: str) -> None:
        """Close the open trials of a pool that will not be screened, and free its centres."""
        for trial in self._open():
            if trial.user_attrs.get(OWNER) == owner:
                self._study.tell(trial.number, state=TrialState.FAIL)
        self._free(owner)

    def requeue(self, owner: str) -> None:
        """The same for a pool whose screening failed; what it asked for is proposed again first."""
        for trial in self._open():
            if trial.user_attrs.get(OWNER) == owner:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params, user_attrs={"requeued": trial.number})
        self._free(owner)

    def _free(self, owner: str) -> None:
        if dict(self._claims()).get(owner):
            self._study.set_user_attr(f"{CENTRES}/{owner}", [])

    def of_race(self, lineage: Sequence[str], race: str) -> tuple[Ledger, dict[int, int]]:
        """The study that learns from this race of a pool, and what its trials are called there.

        lineage are the runs of the pool and of those that it continues, the pool first. It is this study if
        no other race of the pool was told to it, else a copy of what it knew of those before.
        """
        owner = lineage[0]
        own = [
            t for t in self._study.get_trials(deepcopy=False) if t.user_attrs.get(OWNER) == owner
        ]
        with hold_lock(f"study|{self._place}|{self.name}"):
            told = any(trial.value is not None for trial in own)
            known = self._study.user_attrs.get(f"{RACE}/{owner}")
            if known == race or (known is None and not told):
                self._study.set_user_attr(f"{RACE}/{owner}", race)
                return self, {trial.number: trial.number for trial in own}
            copy = self._copied(f"{self.name}-{race[:12]}", lineage)
            trials = copy._study.get_trials(deepcopy=False)
            return copy, {t.user_attrs[WAS]: t.number for t in trials if WAS in t.user_attrs}

    def _copied(self, name: str, lineage: Sequence[str]) -> Ledger:
        """Another study with the trials of these pools, those of the first one open."""
        owner, *before = lineage
        if name in optuna.get_all_study_names(self._storage):
            if (copy := self._named(name))._study.user_attrs.get(WHOLE):
                return copy
            optuna.delete_study(study_name=name, storage=self._storage)  # a kill cut it short
        copy = self._named(name)
        for trial in self._study.get_trials(deepcopy=False):
            whose = trial.user_attrs.get(OWNER)
            if whose in before and trial.state.is_finished():
                copy._study.add_trial(trial)
            elif whose == owner:
                attributes = {**trial.user_attrs, WAS: trial.number}
                copy._study.add_trial(
                    create_trial(
                        state=TrialState.RUNNING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs=attributes,
                    )
                )
        known = self._study.user_attrs
        kept = ["space", KIND if copy.kind else "", *(f"{CENTRES}/{run}" for run in lineage)]
        for attribute in kept:
            if attribute in known:
                copy._study.set_user_attr(attribute, known[attribute])
        copy._study.set_user_attr(WHOLE, True)
        return copy

    def _named(self, name: str) -> Ledger:
        return Ledger(self._url, self._folder, name)

    def _open(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def tell(self, trial: int, raced: RacedCandidate) -> bool:
        """Report a candidate's rungs and close its trial; telling twice changes nothing.

        A study learns from one kind of value, that of the race it was told of first. A trial of a race with
        another kind fails, and False is said of it.
        """
        frozen = self._study.get_trials(deepcopy=False)[trial]
        if frozen.state.is_finished():
            return True
        if raced.status != "failed" and self.kind not in (None, raced.rungs[-1].kind):
            self._study.tell(trial, state=TrialState.FAIL)
            return False
        handle = Trial(self._study, frozen._trial_id)
        for score in raced.rungs:
            if math.isfinite(score.value):
                handle.report(score.value, score.step)
        if raced.status == "failed":
            self._study.tell(trial, state=TrialState.FAIL)
            return True
        self._study.set_user_attr(KIND, raced.rungs[-1].kind)
        if raced.status == "stopped":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, raced.rungs[-1].value)
        return True

    @property
    def kind(self) -> str | None:
        """What its values are, `loss` or `distance`, once it has some; losses until that was written down."""
        told = any(trial.value is not None for trial in self._study.get_trials(deepcopy=False))
        known: str | None = self._study.user_attrs.get(KIND)
        return known or ("loss" if told else None)

    def history(self) -> list[Told]:
        """Every trial in the order it was asked for."""
        return [
            Told(
                t.number,
                "failed" if t.state == TrialState.FAIL else t.state.name.lower(),
                _value(t),
                dict(t.params),
            )
            for t in self._study.get_trials(deepcopy=False)
        ]

    def importances(self) -> dict[str, float]:
        """Share of the variation that each hyperparameter explains; empty with too few trials."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < ENOUGH or len({trial.value for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)


def study_exists(storage: str | None, folder: Path, name: str) -> bool:
    """Whether a study of this name is in the storage."""
    return name in optuna.get_all_study_names(_storage(storage, folder))


def _storage(url: str | None, folder: Path) -> BaseStorage:
    if url is None:
        return open_journal(folder / "optuna.journal")
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy and its drivers raise their own families
        raise RpmaskError(
            f"The Optuna storage '{url}' cannot be used: {str(error).splitlines()[0]}",
            "Give an RDB URL such as sqlite:///optuna.db, or leave --storage out.",
        ) from error


def _value(trial: FrozenTrial) -> float | None:
    if trial.state == TrialState.COMPLETE:
        return trial.value
    reported = trial.intermediate_values
    return reported[max(reported)] if reported else None


def _differences(settled: SearchSpace, asked: SearchSpace) -> str:
    there, here = settled.to_dict(), asked.to_dict()
    return ", ".join(
        f"{name} {there[name]}, not {here[name]}" for name in there if there[name] != here[name]
    )
