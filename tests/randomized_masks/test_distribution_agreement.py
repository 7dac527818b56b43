"""The fast sampler and the paper's m draws give the same distribution of masks."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from randomized_masks.agreement import assert_same_distribution
from randomized_masks.reference import mask_by_draws
from scipy import stats

from rpmask.randomized_masks import group_votes as groups
from rpmask.randomized_masks import vote_sampler as votes
from rpmask.randomized_masks.group_votes import draw_in_groups
from rpmask.randomized_masks.keep_probability import Clock
from rpmask.randomized_masks.vote_sampler import VoteSampler

MASKS = 2000

# weights, sparsity, temperature, votes; the votes follow from ratios of 2e-3 to 2e-1
SETTINGS = [
    (500, 0.54, 0.2, 13),
    (800, 0.9375, 0.2, 11),
    (500, 0.83, 0.1, 20),
    (600, 0.90, 1.0, 4),
    (300, 0.50, 5.0, 9),
]


def importances(weights: int, seed: int) -> NDArray[np.float32]:
    return np.abs(np.random.default_rng(seed).standard_normal(weights)).astype(np.float32)


def force_one_pass(patch: pytest.MonkeyPatch) -> None:
    """Take the road of large tensors, however few weights there are."""
    patch.setattr(votes, "EXACT", 0)
    patch.setattr(votes, "FEW", 0)


def top(scores: NDArray[np.float32], kept: int) -> NDArray[np.bool_]:
    return scores >= np.sort(scores)[-kept]


def many(sampler: VoteSampler, kept: int, temperature: float, m: int) -> NDArray[np.bool_]:
    return np.stack(
        [sampler.draw(kept, temperature, m, np.random.default_rng([1, i])) for i in range(MASKS)]
    )


@pytest.mark.parametrize(("weights", "sparsity", "temperature", "m"), SETTINGS)
def test_both_roads_agree_with_the_draws(
    weights: int, sparsity: float, temperature: float, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, kept = importances(weights, 3), round(weights * (1 - sparsity))
    random = np.random.default_rng(5)
    expected = np.stack(
        [mask_by_draws(scores.astype(float), kept, temperature, m, random) for _ in range(MASKS)]
    )
    by_clocks = many(VoteSampler(scores), kept, temperature, m)
    force_one_pass(monkeypatch)
    in_one_pass = many(VoteSampler(scores), kept, temperature, m)
    assert not np.array_equal(by_clocks, in_one_pass)
    for found in (by_clocks, in_one_pass):
        assert (found.sum(axis=1) == kept).all()
        assert_same_distribution(found, expected, top(scores, kept))


def test_weights_decided_wrongly_are_reopened(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, kept = importances(600, 3), 60
    expected = many(VoteSampler(scores), kept, 0.3, 6)
    force_one_pass(monkeypatch)
    slacks: list[int | None] = []
    window = VoteSampler._window

    def hasty(self: VoteSampler, kept: int, clock: Clock, m: int, slack: int | None) -> object:
        """Decide most weights too early, unless everything is to stay undecided."""
        slacks.append(slack)
        with monkeypatch.context() as patch:
            patch.setattr(votes, "WRONG_DECISION", 0.45)
            found = window(self, kept, clock, m, slack)
        if slack is not None:
            found.cuts = (found.cut, found.cut)
            found.certain_count += kept
        return found

    monkeypatch.setattr(VoteSampler, "_window", hasty)
    found = many(VoteSampler(scores), kept, 0.3, 6)
    assert set(slacks) == {1, 4, None}
    assert_same_distribution(found, expected, top(scores, kept))


def test_a_sampler_of_another_temperature_is_told_apart() -> None:
    scores, kept = importances(600, 3), 60
    other = many(VoteSampler(scores), kept, 0.23, 10)
    with pytest.raises(AssertionError):
        assert_same_distribution(many(VoteSampler(scores), kept, 0.2, 10), other, top(scores, kept))


def test_a_mask_inside_a_mask() -> None:
    scores, kept = importances(400, 4), 40
    parent = top(importances(400, 9) * scores, 200)
    expected = np.stack(
        [
            mask_by_draws(
                scores.astype(float) * parent, kept, 0.3, 8, np.random.default_rng([2, i])
            )
            for i in range(MASKS)
        ]
    )
    found = np.zeros((MASKS, 400), dtype=np.bool_)
    found[:, parent] = many(VoteSampler(scores[parent]), kept, 0.3, 8)
    assert_same_distribution(found, expected, top(scores * parent, kept))


def test_one_vote_is_weighted_sampling_without_replacement() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 5.0], dtype=np.float32)
    chances = scores.astype(float) ** 2 / (scores.astype(float) ** 2).sum()
    sets: dict[tuple[int, ...], float] = {}
    for order in permutations(range(5), 2):
        chance = chances[order[0]] * chances[order[1]] / (1 - chances[order[0]])
        sets[tuple(sorted(order))] = sets.get(tuple(sorted(order)), 0.0) + chance
    sampler, counts = VoteSampler(scores), dict.fromkeys(sets, 0)
    for i in range(20_000):
        keep = sampler.draw(2, 0.5, 1, np.random.default_rng([7, i]))
        counts[tuple(int(place) for place in np.flatnonzero(keep))] += 1
    expected = 20_000 * np.array(list(sets.values()))
    assert stats.chisquare(list(counts.values()), expected).pvalue > 1e-3


def test_hot_and_one_vote_is_uniform() -> None:
    found = many(VoteSampler(importances(500, 1)), 125, 1e9, 1)
    expected = np.full(500, MASKS / 4)
    assert ((found.sum(axis=0) - expected) ** 2 / (expected * 0.75)).sum() < stats.chi2.isf(
        1e-3, 499
    )


@pytest.mark.parametrize("temperature", [1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("one_pass", [False, True])
def test_cold_is_the_magnitude_mask(
    temperature: float, one_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if one_pass:
        force_one_pass(monkeypatch)
    scores = np.random.default_rng(0).permutation(np.linspace(0.5, 4.0, 3000)).astype(np.float32)
    keep = VoteSampler(scores).draw(300, temperature, 7, np.random.default_rng(0))
    # At 1e-3 neighbours, 0.0004 apart, still change places; the sum of what is kept hardly moves.
    wanted = top(scores, 300)
    assert keep.sum() == 300
    assert (keep & wanted).sum() >= (300 if temperature < 1e-4 else 295)


@pytest.mark.parametrize(
    ("kept", "size", "temperature", "m"), [(2, 4, 0.2, 7), (1, 4, 1.0, 3), (3, 6, 0.5, 4)]
)
def test_groups_agree_with_the_draws(
    kept: int, size: int, temperature: float, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A gentle spread, for a group that is settled says nothing.
    scores = 1.0 + 0.5 * importances(6 * size, 6).reshape(-1, size)
    random = np.random.default_rng(8)

    def one_by_one() -> NDArray[np.bool_]:
        masks = [mask_by_draws(row.astype(float), kept, temperature, m, random) for row in scores]
        return np.concatenate(masks)

    def together(number: int) -> NDArray[np.bool_]:
        stream = np.random.default_rng([9, number])
        return draw_in_groups(scores, kept, temperature, m, stream).reshape(-1)

    expected = np.stack([one_by_one() for _ in range(MASKS)])
    control = np.concatenate([top(row, kept) for row in scores])
    enumerated = np.stack([together(i) for i in range(MASKS)])
    monkeypatch.setattr(groups, "ENUMERATED", 0)
    drawn = np.stack([together(i) for i in range(MASKS)])
    assert not np.array_equal(enumerated, drawn)
    for found in (enumerated, drawn):
        assert (found.reshape(-1, size).sum(axis=1) == kept).all()
        assert_same_distribution(found, expected, control)


def test_groups_inside_a_mask_agree_with_the_draws() -> None:
    scores = 1.0 + importances(40, 2).reshape(-1, 4)
    allowed = np.ones_like(scores, dtype=np.bool_)
    allowed[:5, 1] = False
    random = np.random.default_rng(3)
    expected = np.stack(
        [
            np.stack(
                [mask_by_draws(row, 2, 0.5, 5, random) for row in scores.astype(float) * allowed]
            )
            for _ in range(MASKS)
        ]
    )
    found = np.stack(
        [
            draw_in_groups(scores, 2, 0.5, 5, np.random.default_rng([4, i]), allowed=allowed)
            for i in range(MASKS)
        ]
    )
    assert not found[:, ~allowed].any()
    control = np.stack([top(row, 2) for row in scores * allowed]).reshape(-1)
    assert_same_distribution(found.reshape(MASKS, -1), expected.reshape(MASKS, -1), control)
