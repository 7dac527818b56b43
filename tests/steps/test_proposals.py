"""What a pool is made of: the control, every other centre without noise, then draws around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rpmask.records import Candidate, MaskRecipe, Pool, SearchSpace
from rpmask.steps.proposals import Earlier, proposals
from rpmask.steps.requests import SampleRequest
from rpmask.tracking.study import Ledger

CENTRES = [("magnitude", 0.0), ("magnitude", 1.0), ("fisher", 0.0), ("fisher", 1.0)]
BASE = MaskRecipe(weights_digest="w", seed=0, sparsity=0.9)
REQUEST = SampleRequest(
    space=SearchSpace(importances=("magnitude", "fisher"), allocations=(0.0, 1.0))
)


def pool(ledger: Ledger, owner: str, k: int, before: Earlier | None = None) -> list[MaskRecipe]:
    request = replace(REQUEST, k=k)
    return [recipe for recipe, _ in proposals(request, BASE, ledger, owner, before or Earlier())]


def centres(recipes: list[MaskRecipe]) -> list[tuple[str, float]]:
    return [(r.importance, r.allocation) for r in recipes if r.temperature == 0]


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_centres_come_before_noise(tmp_path: Path, k: int) -> None:
    recipes = pool(Ledger(None, tmp_path, "study"), "p", k)
    assert len(recipes) == k
    assert centres(recipes) == CENTRES[:k]
    assert all(recipe.temperature > 0 for recipe in recipes[len(CENTRES) :])
    assert len({recipe.seed for recipe in recipes}) == k


def test_an_interrupted_pool_is_the_same_pool(tmp_path: Path) -> None:
    whole = pool(Ledger(None, tmp_path / "a", "study"), "p", 6)
    pool(Ledger(None, tmp_path / "b", "study"), "p", 6)
    assert pool(Ledger(None, tmp_path / "b", "study"), "p", 6) == whole


def test_a_later_generation_holds_the_centres_that_had_no_room(tmp_path: Path) -> None:
    ledger = Ledger(None, tmp_path, "study")
    first = pool(ledger, "p", 3)
    assert centres(first) == CENTRES[:3]
    candidates = tuple(Candidate(recipe, "digest", 1.0, {}) for recipe in first)
    before = Earlier(Pool("t", "m", "m", "m", 1, 0.9, 0, "w", (), candidates), first[2])
    second = pool(ledger, "q", 4, before)
    assert second[:2] == [replace(second[0], temperature=0.0), first[2]]
    assert centres(second[2:]) == CENTRES[3:]
    ledger.abandon("q")  # nobody will screen it: its centre is still to be raced
    assert centres(pool(ledger, "r", 4, before)[2:]) == CENTRES[3:]
