"""Scores by hand on the ten-weight model: forward, straight-through gradient, swaps, restriction."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy import TenWeights

from rpmask.errors import RpmaskError
from rpmask.lottery_jackpots.scores import (
    ScoredWeights,
    restriction_rate,
    start_scores,
    swap,
    wanted_swaps,
)
from rpmask.masks.mask import Mask

NAME = "blocks.0.weight"
# The weights are 1 to 10 in two rows of five; kept are 3, 5, 8 and 10.
KEEP = torch.tensor([[0, 0, 1, 0, 1], [0, 0, 1, 0, 1]], dtype=torch.bool)


def scored() -> ScoredWeights:
    return ScoredWeights(dict(TenWeights().named_parameters()), Mask.from_bools({NAME: KEEP}))


def test_start_is_one_and_a_hundredth_less() -> None:
    assert torch.equal(start_scores(KEEP), torch.where(KEEP, 1.0, 0.99))


def test_forward_value_and_one_step() -> None:
    search = scored()
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    effective = search.effective()[NAME]
    # Row one: 3 * 3 + 5 * 5; row two: 8 * 3 + 10 * 5.
    out = nn.functional.linear(x, effective)
    assert out.tolist() == [34.0, 74.0]
    (out * torch.tensor([1.0, -1.0])).sum().backward()
    search.pass_gradients()
    # dL/ds = dL/d(w * m) * w = (1 or -1) * x * w, for dropped weights too.
    expected = [[1.0, 4.0, 9.0, 16.0, 25.0], [-6.0, -14.0, -24.0, -36.0, -50.0]]
    score = search.scores[NAME]
    assert score.grad is not None
    assert score.grad.tolist() == expected
    torch.optim.SGD([score], lr=0.01).step()
    # Scores now: .98 .95 .91 .83 .75 | 1.05 1.13 1.24 1.35 1.49. Weights 6, 7, 9 overtook 3 and 5:
    # the best pairs are (9, 5) and (7, 3).
    assert search.update(1.0) == 2
    assert torch.nonzero(search.mask().keep(NAME).view(-1)).squeeze(1).tolist() == [6, 7, 8, 9]


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


def test_restriction_rates() -> None:
    assert [restriction_rate("quartic", t) for t in (0.0, 0.5, 1.0)] == [1.0, 0.0625, 0.0]
    assert restriction_rate("cosine", 0.0) == 1.0
    assert restriction_rate("cosine", 0.5) == pytest.approx(0.5)
    assert restriction_rate("cosine", 1.0) == 0.0
    assert restriction_rate("off", 0.9) == 1.0
    # Not rounded up: late in a search of ten swaps, one goes through, and not all of them.
    assert math.ceil(10 * restriction_rate("quartic", 0.9)) == 1
    with pytest.raises(RpmaskError, match="'linear'"):
        restriction_rate("linear", 0.5)


def test_a_convolution_is_scored_like_a_matrix() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, bias=False)
    keep = torch.rand(3, 2, 3, 3) > 0.5
    search = ScoredWeights({"w": conv.weight}, Mask.from_bools({"w": keep}))
    image = torch.rand(1, 2, 5, 5)
    effective = search.effective()["w"]
    nn.functional.conv2d(image, effective).square().sum().backward()
    assert effective.grad is not None
    gradient = effective.grad.clone()  # (out, in, height, width)
    search.pass_gradients()
    assert search.scores["w"].grad is not None
    assert torch.equal(search.scores["w"].grad, gradient * conv.weight.detach())


def test_one_score_a_weight_and_nothing_else_is_learned() -> None:
    search = scored()
    assert {name: tuple(score.shape) for name, score in search.scores.items()} == {NAME: (2, 5)}
    assert search.scores[NAME].dtype == torch.float32
    assert search.mask() == Mask.from_bools({NAME: KEEP})


def test_weights_do_not_move_and_unused_ones_are_named() -> None:
    model = TenWeights()
    before = model.blocks[0].weight.detach().clone()
    search = ScoredWeights(dict(model.named_parameters()), Mask.from_bools({NAME: KEEP}))
    search.effective()
    with pytest.raises(RpmaskError, match=NAME):
        search.pass_gradients()
    assert torch.equal(model.blocks[0].weight, before)
