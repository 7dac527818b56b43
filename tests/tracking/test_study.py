"""The study: its proposals, the owners of its trials, and its state after an interruption."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from rpmask.errors import RpmaskError
from rpmask.records import RacedCandidate, Score, SearchSpace
from rpmask.tracking.proposing import Proposal
from rpmask.tracking.study import Study

SPACE = SearchSpace()


def ledger(folder: Path) -> Study:
    return Study(None, folder, "study")


def ask(
    study: Study, owner: str, count: int, sampler: str = "tpe", start: int = 0
) -> list[Proposal]:
    return [
        study.ask(SPACE, owner=owner, nth=nth, sampler=sampler, seed=3)
        for nth in range(start, start + count)
    ]


def raced(status: str, *losses: float) -> RacedCandidate:
    rungs = tuple(Score(0, i, 10 * (i + 1), loss, 0.5, loss) for i, loss in enumerate(losses))
    return RacedCandidate(0, "recipe", "mask", status, rungs)


def knobs(asked: list[Proposal]) -> list[tuple[float, float, str, float]]:
    return [(a.temperature, a.sample_ratio, a.importance, a.allocation) for a in asked]


def states(study: Study) -> list[str]:
    return [told.state.name.lower() for told in study.history()]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_the_same_seed_proposes_the_same(tmp_path: Path, sampler: str) -> None:
    one = ask(ledger(tmp_path / "a"), "p", 4, sampler)
    two = ask(ledger(tmp_path / "b"), "p", 4, sampler)
    assert knobs(one) == knobs(two)
    assert len(set(knobs(one))) == 4


def test_an_interrupted_pool_is_proposed_again_without_new_trials(tmp_path: Path) -> None:
    whole = ask(ledger(tmp_path / "a"), "p", 5)
    before = ask(ledger(tmp_path / "b"), "p", 3)
    after = ask(ledger(tmp_path / "b"), "p", 5)  # another process, the same run
    assert after[:3] == before
    assert knobs(after) == knobs(whole)
    assert states(ledger(tmp_path / "b")) == ["running"] * 5


def test_a_trial_that_was_killed_before_its_parameters_gets_the_same_ones(tmp_path: Path) -> None:
    whole = ask(ledger(tmp_path / "a"), "p", 2)
    study = ledger(tmp_path / "b")
    ask(study, "p", 1)
    half = study._study.ask()
    half.set_user_attr("pool", "p")
    assert knobs(ask(ledger(tmp_path / "b"), "p", 2)) == knobs(whole)


def test_what_is_told(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    ask(study, "p", 3)
    study.tell(0, raced("finished", 0.9, 0.5))
    study.tell(1, raced("stopped", 0.8))
    study.tell(2, raced("failed", math.nan))
    study.tell(0, raced("finished", 0.9, 0.1))  # told before: nothing changes
    history = study.history()
    assert [(t.state.name.lower(), t.value) for t in history] == [
        ("complete", 0.5),
        ("pruned", 0.8),
        ("fail", None),
    ]


def test_abandoning_one_pool_leaves_the_others_open(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    ask(study, "first", 2)
    ask(study, "second", 1)
    study.abandon("second")
    assert states(study) == ["running", "running", "fail"]
    assert study.owners() == {"first"}


def test_lost_trials_are_proposed_again_first(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    lost = ask(study, "lost", 2)
    study.requeue("lost")
    again = ask(study, "next", 3)
    assert knobs(again)[:2] == knobs(lost)
    assert states(study) == ["fail", "fail", "running", "running", "running"]


def test_a_study_keeps_its_space(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    fisher = SearchSpace(importances=("fisher", "magnitude"))
    assert study.agree(fisher) == fisher
    assert study.agree(SearchSpace()) == fisher  # nothing in particular was asked for
    with pytest.raises(RpmaskError, match="importances"):
        study.agree(SearchSpace(importances=("taylor",)))


def test_importances_need_enough_trials(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    asked = ask(study, "p", 12)
    for one in asked[:4]:
        study.tell(one.trial, raced("finished", one.temperature))
    assert study.importances() == {}
    for one in asked[4:]:
        study.tell(one.trial, raced("finished", one.temperature))
    found = study.importances()
    assert max(found, key=found.__getitem__) == "temperature"
    assert sum(found.values()) == pytest.approx(1.0)


def test_storage_in_a_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    study = Study(url, tmp_path, "study")
    ask(study, "p", 2)
    assert len(Study(url, tmp_path, "study").history()) == 2
    assert optuna.get_all_study_names(url) == ["study"]


def test_an_unusable_storage_is_named(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="nosuchdb"):
        Study("nosuchdb://host/x", tmp_path, "study")


def test_a_study_learns_from_one_kind_of_value(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    asked = ask(study, "p", 4)
    near = Score(0, 0, 10, 0.9, 0.5, 0.9, distance=0.2)
    assert study.tell(asked[0].trial, raced("failed", math.nan))
    assert study.kind is None  # one that failed says nothing
    assert study.tell(asked[1].trial, RacedCandidate(0, "recipe", "mask", "finished", (near,)))
    assert not study.tell(asked[2].trial, raced("finished", 0.1))  # it would lead all distances
    assert study.tell(asked[3].trial, RacedCandidate(0, "recipe", "mask", "stopped", (near,)))
    assert states(ledger(tmp_path)) == ["fail", "complete", "fail", "pruned"]
    assert [told.value for told in study.history()][1::2] == [0.2, 0.2]
    assert study.kind == "distance"


def told(study: Study, numbers: Mapping[int, int], losses: Mapping[int, float]) -> None:
    for trial, loss in losses.items():
        assert study.tell(numbers[trial], raced("finished", loss))


def test_a_pool_that_is_raced_again_teaches_a_study_of_its_own(tmp_path: Path) -> None:
    study = ledger(tmp_path)
    first = ask(study, "p", 2)
    same, numbers = study.for_race(["p"], "short")
    assert same is study
    told(study, numbers, {0: 0.5, 1: 0.4})
    ask(study, "q", 1)  # a second generation, after the short race
    again, numbers = study.for_race(["p"], "long")
    told(again, numbers, {0: 0.2, 1: 0.3})
    assert [t.value for t in again.history()] == [0.2, 0.3]
    assert [t.value for t in study.history()] == [0.5, 0.4, None]
    assert [t.params for t in again.history()] == [t.params for t in study.history()[:2]]
    # The same race once more, as after a kill, changes nothing.
    once_more, numbers = ledger(tmp_path).for_race(["p"], "long")
    told(once_more, numbers, {0: 0.9, 1: 0.9})
    assert once_more.name == again.name != study.name
    assert [t.value for t in once_more.history()] == [0.2, 0.3]
    # A second generation after the long race knows the first one's trials as that race told them.
    later = ask(again, "r", 1)
    assert later[0].trial == len(first)
    copy, numbers = again.for_race(["r", "p"], "third")
    told(copy, numbers, {2: 0.1})
    other, numbers = again.for_race(["r", "p"], "fourth")
    told(other, numbers, {2: 0.7})
    assert [t.value for t in copy.history()] == [0.2, 0.3, 0.1]
    assert [t.value for t in other.history()] == [0.2, 0.3, 0.7]


def test_a_copy_that_a_kill_cut_short_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ledger(tmp_path)
    ask(study, "p", 2)
    told(study, study.for_race(["p"], "short")[1], {0: 0.5, 1: 0.4})
    real = optuna.study.Study.add_trial
    added: list[Any] = []

    def add_trial(self: optuna.study.Study, trial: Any) -> None:
        if added:
            raise KeyboardInterrupt
        added.append(trial)
        real(self, trial)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.study.Study, "add_trial", add_trial)
        with pytest.raises(KeyboardInterrupt):
            study.for_race(["p"], "long")
    copy, numbers = ledger(tmp_path).for_race(["p"], "long")
    told(copy, numbers, {0: 0.2, 1: 0.3})
    assert [t.value for t in copy.history()] == [0.2, 0.3]


def test_a_list_is_a_list_and_a_range_a_range(tmp_path: Path) -> None:
    listed = SearchSpace(temperature=(0.1, 0.2, 0.4), lists=("temperature",))
    study = ledger(tmp_path)
    asked = [study.ask(listed, owner="p", nth=nth, sampler="random", seed=1) for nth in range(24)]
    assert {one.temperature for one in asked} == {0.1, 0.2, 0.4}
    assert len({one.sample_ratio for one in asked}) == 24
