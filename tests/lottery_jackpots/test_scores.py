"""Scores by hand on the ten-weight model: forward, straight-through gradient, one step."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy import TenWeights

from rpmask.errors import RpmaskError
from rpmask.lottery_jackpots.scores import ScoredWeights, start_scores
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
