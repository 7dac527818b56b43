"""The short restriction by hand: rates, the best pairs first, exact counts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rpmask.lottery_jackpots.short_restriction import restriction_rate, swap, wanted_swaps


def test_restriction_rates() -> None:
    assert [restriction_rate("quartic", t) for t in (0.0, 0.5, 1.0)] == [1.0, 0.0625, 0.0]
    assert restriction_rate("cosine", 0.0) == 1.0
    assert restriction_rate("cosine", 0.5) == pytest.approx(0.5)
    assert restriction_rate("cosine", 1.0) == 0.0
    assert restriction_rate("off", 0.9) == 1.0
    # Not rounded up: late in a search of ten swaps, one goes through, and not all of them.
    assert math.ceil(10 * restriction_rate("quartic", 0.9)) == 1


def test_restriction_lets_the_best_pairs_through() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.2, 0.8, 0.7])
    keep = torch.tensor([True, False, True, True, False, False])
    taken, dropped = wanted_swaps(scores, keep)
    assert taken.tolist() == [1, 4, 5]  # highest first
    assert dropped.tolist() == [0, 3, 2]  # lowest first
    assert swap(scores, keep, rate=0.34) == 2  # ceil(3 * 0.34)
    assert keep.tolist() == [False, True, True, False, True, False]


def test_equal_scores_are_no_reason_to_swap() -> None:
    keep = torch.tensor([True, False, True, False])
    scores = torch.full((4,), 0.5)
    assert swap(scores, keep, 1.0) == 0
    assert keep.tolist() == [True, False, True, False]


@pytest.mark.parametrize("all_or_none", [True, False])
def test_a_tensor_kept_or_dropped_whole_has_no_swap(all_or_none: bool) -> None:
    keep = torch.full((5,), all_or_none)
    assert swap(torch.arange(5.0), keep, 1.0) == 0
    assert keep.all() if all_or_none else not keep.any()


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40),
    st.floats(0.0, 1.0),
)
def test_counts_stay_exact_and_unrestricted_is_top_k(
    rows: list[tuple[int, bool]], rate: float
) -> None:
    scores = torch.tensor([float(score) for score, _ in rows])
    keep = torch.tensor([kept for _, kept in rows])
    kept = int(keep.sum())
    wanted = wanted_swaps(scores, keep)[0].numel()
    restricted = keep.clone()
    assert swap(scores, restricted, rate) == math.ceil(wanted * rate)
    assert int(restricted.sum()) == kept
    assert int((restricted & ~keep).sum()) == math.ceil(wanted * rate)
    swap(scores, keep, 1.0)
    assert int(keep.sum()) == kept
    # Ties aside, the kept scores are the k largest.
    assert scores[keep].sort().values.tolist() == scores.sort().values[len(rows) - kept :].tolist()
