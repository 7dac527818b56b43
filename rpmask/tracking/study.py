"""The Optuna study of the sampling hyperparameters.

`sample` asks for the temperature, sample ratio, importance and allocation of every candidate with
randomness; `screen` reports each rung and how the candidate ended. Each `sample` run has a study of its own
unless it continues another run's. A study learns from one race of each pool: racing a pool again in another
way starts a copy of the study with the results that were known before the first race.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from rpmask.errors import RpmaskError
from rpmask.logs import is_verbose
from rpmask.records import RacedCandidate, SearchSpace
from rpmask.tracking.journal import open_journal
from rpmask.tracking.locks import hold_lock
from rpmask.tracking.proposing import LAST, Proposal, proposal_of, seeded_sampler, suggest
from rpmask.tracking.trials import importances

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart

# Attributes of a trial.
OWNER = "pool"  # the `sample` run that asked for it
WAS = "was"  # its number in the study that this one is a copy of
# Attributes of a study.
KIND = "ranked-by"  # what the values of its trials are, `loss` or `distance`
CENTRES = "centres"  # CENTRES/RUN: the masks without noise that a pool holds
RACE = "race"  # RACE/RUN: the race of a pool that the study learns from
WHOLE = "whole"  # set on a copy when it is complete

Centre = tuple[str, float]  # importance, allocation


class Study:
    """One study in a journal file, or in a database that Optuna can use.

    The owner of a trial is the `sample` run that asked for it. The trial stays open until the screening of
    that pool reports how the candidate ended.
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
        """The space of this study, which its first request sets; the default space stands for it later."""
        known = self._study.user_attrs.get("space")
        if known is None:
            self._study.set_user_attr("space", space.to_dict())
            return space
        own = SearchSpace.from_dict(known)
        if space not in (own, SearchSpace()):
            raise RpmaskError(
                f"The study '{self.name}' searches another space than the requested one: "
                f"{_differences(own, space)}.",
                "Leave those options out to continue it, or leave --like out for a study of its own.",
            )
        return own

    def ask(self, space: SearchSpace, *, owner: str, nth: int, sampler: str, seed: int) -> Proposal:
        """The nth proposal for a pool; an interrupted `sample` gets the same proposals again.

        The sampler is seeded for each proposal, so a proposal depends on the results reported before and not
        on how often the command was interrupted.
        """
        self._study.sampler = seeded_sampler(sampler, seed, nth)
        with hold_lock(f"study|{self._place}|{self.name}"):
            self._close_incomplete(owner)
            own = [trial for trial in self._open() if trial.user_attrs.get(OWNER) == owner]
            if nth < len(own):
                return proposal_of(own[nth])
            trial = self._study.ask()
            trial.set_user_attr(OWNER, owner)
            return suggest(trial, space)

    def _close_incomplete(self, owner: str) -> None:
        """Close trials that a kill left without their owner or without all of their parameters.

        The sampler would draw the missing ones from another place of its stream.
        """
        for trial in self._open():
            if trial.user_attrs.get(OWNER, owner) == owner and LAST not in trial.params:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def claim_centres(self, owner: str, wanted: Sequence[Centre], room: int) -> list[Centre]:
        """Claim up to `room` of these masks without noise that no other pool of the study holds.

        An interrupted pool gets its own again.
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
        """Abandon a pool whose screening failed; its proposals are the next ones that the study makes."""
        for trial in self._open():
            if trial.user_attrs.get(OWNER) == owner:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params, user_attrs={"requeued": trial.number})
        self._free(owner)

    def _free(self, owner: str) -> None:
        if dict(self._claims()).get(owner):
            self._study.set_user_attr(f"{CENTRES}/{owner}", [])

    def for_race(self, lineage: Sequence[str], race: str) -> tuple[Study, dict[int, int]]:
        """The study that learns from this race of a pool, and the numbers of the pool's trials in it.

        lineage: the runs of the pool and of those that it continues, the pool first. The study is this one,
        unless it has learned from another race of the pool: then it is a copy without that race's results.
        """
        owner = lineage[0]
        own = [
            t for t in self._study.get_trials(deepcopy=False) if t.user_attrs.get(OWNER) == owner
        ]
        with hold_lock(f"study|{self._place}|{self.name}"):
            has_results = any(trial.value is not None for trial in own)
            known = self._study.user_attrs.get(f"{RACE}/{owner}")
            if known == race or (known is None and not has_results):
                self._study.set_user_attr(f"{RACE}/{owner}", race)
                return self, {trial.number: trial.number for trial in own}
            copy = self._copied(f"{self.name}-{race[:12]}", lineage)
            trials = copy._study.get_trials(deepcopy=False)
            return copy, {t.user_attrs[WAS]: t.number for t in trials if WAS in t.user_attrs}

    def _copied(self, name: str, lineage: Sequence[str]) -> Study:
        """A copy with the finished trials of the later pools, and the trials of the first pool open again."""
        owner, *before = lineage
        if name in optuna.get_all_study_names(self._storage):
            if (copy := self._named(name))._study.user_attrs.get(WHOLE):
                return copy
            optuna.delete_study(
                study_name=name, storage=self._storage
            )  # a kill interrupted the copying
        copy = self._named(name)
        for trial in self._study.get_trials(deepcopy=False):
            its_owner = trial.user_attrs.get(OWNER)
            if its_owner in before and trial.state.is_finished():
                copy._study.add_trial(trial)
            elif its_owner == owner:
                copy._study.add_trial(
                    create_trial(
                        state=TrialState.RUNNING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs={**trial.user_attrs, WAS: trial.number},
                    )
                )
        attributes = self._study.user_attrs
        for name in ("space", KIND if copy.kind else "", *(f"{CENTRES}/{run}" for run in lineage)):
            if name in attributes:
                copy._study.set_user_attr(name, attributes[name])
        copy._study.set_user_attr(WHOLE, True)
        return copy

    def _named(self, name: str) -> Study:
        return Study(self._url, self._folder, name)

    def _open(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def tell(self, trial: int, raced: RacedCandidate) -> bool:
        """Report a candidate's rungs and close its trial; a second report changes nothing.

        A study learns from one kind of value, that of its first race. A trial of a race that ranks by another
        kind fails, and the result is False.
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
        """The kind of its values, `loss` or `distance`; None without values. Old studies hold losses."""
        has_results = any(
            trial.value is not None for trial in self._study.get_trials(deepcopy=False)
        )
        known: str | None = self._study.user_attrs.get(KIND)
        return known or ("loss" if has_results else None)

    def history(self) -> list[FrozenTrial]:
        """Every trial, in the order of asking; the value of a pruned one is that of its last rung."""
        return self._study.get_trials(deepcopy=False)

    def charts(self, measured: str) -> list[Chart]:
        """Its history, importances and parallel coordinates; `measured` names the value of a trial."""
        from rpmask.tracking.studycharts import study_charts

        return study_charts(self._study, measured)

    def importances(self) -> dict[str, float]:
        """Share of the variation that each hyperparameter explains; empty with too few trials."""
        return importances(self._study)


def study_exists(storage: str | None, folder: Path, name: str) -> bool:
    """Whether a study of this name is in the storage."""
    return name in optuna.get_all_study_names(_storage(storage, folder))


def _storage(url: str | None, folder: Path) -> BaseStorage:
    if url is None:
        return open_journal(folder / "optuna.journal")
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy and its drivers raise exceptions of their own
        raise RpmaskError(
            f"The Optuna storage '{url}' cannot be used: {str(error).splitlines()[0]}",
            "Give an RDB URL such as sqlite:///optuna.db, or leave --storage out.",
        ) from error


def _differences(own: SearchSpace, other: SearchSpace) -> str:
    there, here = own.to_dict(), other.to_dict()
    return ", ".join(
        f"{name} {there[name]}, not {here[name]}" for name in there if there[name] != here[name]
    )
