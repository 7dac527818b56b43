"""What a pool is made of: the control, every other centre without noise, then draws around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpmask.records import (
    Candidate,
    MaskRecipe,
    Pool,
    RacedCandidate,
    Score,
    ScreenReport,
    SearchSpace,
)
from rpmask.steps.previous_pool import PreviousPool
from rpmask.steps.proposals import proposals
from rpmask.steps.requests import SampleRequest
from rpmask.tracking.study import Study

CENTRES = [("magnitude", 0.0), ("magnitude", 1.0), ("fisher", 0.0), ("fisher", 1.0)]
BASE = MaskRecipe(weights_digest="w", seed=0, sparsity=0.9)
SPACE = SearchSpace(importances=("magnitude", "fisher"), allocations=(0.0, 1.0))


Planned = list[tuple[MaskRecipe, int | None]]


def planned(
    ledger: Study,
    owner: str,
    k: int,
    before: PreviousPool | None = None,
    space: SearchSpace = SPACE,
) -> Planned:
    request = SampleRequest(k=k, space=space)
    return list(proposals(request, BASE, ledger, owner, before or PreviousPool()))


def pool(ledger: Study, owner: str, k: int, before: PreviousPool | None = None) -> list[MaskRecipe]:
    return [recipe for recipe, _ in planned(ledger, owner, k, before)]


def continuing(first: list[MaskRecipe], best: MaskRecipe) -> PreviousPool:
    """After a race that `best` of them won."""
    candidates = tuple(
        Candidate(recipe, "digest", 1.0, {}, control=i == 0) for i, recipe in enumerate(first)
    )
    raced = tuple(
        RacedCandidate(i, recipe.id, "digest", "finished", (Score(i, 0, 1, loss, 0.5, loss),))
        for i, recipe in enumerate(first)
        for loss in [0.1 if recipe == best else 0.9]
    )
    report = ScreenReport("p", "t", 1, 0.9, "accuracy", "local", 1, 1, 9, 1, 1, 1, raced)
    pool = Pool("t", "m", "m", "m", 1, 0.9, 0, "w", (), candidates)
    return PreviousPool(pool, report)


def centres(recipes: list[MaskRecipe]) -> list[tuple[str, float]]:
    return [(r.importance, r.allocation) for r in recipes if r.temperature == 0]


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_centres_come_before_noise(tmp_path: Path, k: int) -> None:
    recipes = pool(Study(None, tmp_path, "study"), "p", k)
    assert len(recipes) == k
    assert centres(recipes) == CENTRES[:k]
    assert all(recipe.temperature > 0 for recipe in recipes[len(CENTRES) :])
    assert len({recipe.seed for recipe in recipes}) == k


def test_by_default_centres_and_draws_are_around_fisher(tmp_path: Path) -> None:
    recipes = [
        recipe for recipe, _ in planned(Study(None, tmp_path, "study"), "p", 8, space=SearchSpace())
    ]
    assert centres(recipes) == [("magnitude", 0.0), ("fisher", 0.0), ("fisher", 1.0)]
    assert {recipe.importance for recipe in recipes[3:]} == {"fisher"}


def test_an_interrupted_pool_is_the_same_pool_and_asks_for_no_more_trials(tmp_path: Path) -> None:
    whole = planned(Study(None, tmp_path / "a", "study"), "p", 6)
    planned(Study(None, tmp_path / "b", "study"), "p", 6)
    ledger = Study(None, tmp_path / "b", "study")
    assert planned(ledger, "p", 6) == whole
    assert [told.number for told in ledger.history()] == [0, 1]


def test_a_centre_that_is_named_twice_is_one_mask(tmp_path: Path) -> None:
    twice = SearchSpace(importances=("fisher", "fisher"), allocations=(1.0, 1.0))
    recipes = [r for r, _ in planned(Study(None, tmp_path, "study"), "p", 4, space=twice)]
    assert centres(recipes) == [("magnitude", 0.0), ("fisher", 1.0)]


@pytest.mark.parametrize("lost", ["abandon", "requeue"])
def test_a_later_generation_holds_the_centres_that_had_no_room(tmp_path: Path, lost: str) -> None:
    ledger = Study(f"sqlite:///{tmp_path}/studies.db", tmp_path, "study")
    first = pool(ledger, "p", 3)
    assert centres(first) == CENTRES[:3]
    before = continuing(first, first[2])
    second = pool(ledger, "q", 4, before)
    assert (second[0].importance, second[0].allocation, second[0].temperature) == CENTRES[0] + (0,)
    assert second[1] == first[2]
    assert centres(second[2:]) == CENTRES[3:]
    assert ledger.owners() == {"p", "q"}
    getattr(ledger, lost)("q")  # nobody has screened it: its centre is still to be raced
    assert centres(pool(ledger, "r", 4, before)[2:]) == CENTRES[3:]
    assert centres(pool(ledger, "s", 4, before)[2:]) == []


def test_a_study_without_notes_knows_the_centres_of_the_pool_it_continues(tmp_path: Path) -> None:
    first = pool(Study(None, tmp_path / "a", "study"), "p", 4)
    before = continuing(first, first[3])
    second = pool(Study(None, tmp_path / "b", "study"), "q", 5, before)
    assert centres(second) == [CENTRES[0], CENTRES[3]]
