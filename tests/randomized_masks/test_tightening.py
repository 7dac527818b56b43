"""Tightening: when the cuts come, and what each does to the mask and the model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.weights import find_prunable
from rpmask.randomized_masks.tightening import RefitCut, Tightening, cuts_by_step
from rpmask.records import MaskRecipe
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches


def whole(model: torch.nn.Module) -> Mask:
    return Mask.from_bools(
        {tensor.name: torch.ones(tensor.shape, dtype=torch.bool) for tensor in find_prunable(model)}
    )


def test_the_sparsity_rises_by_a_cubic_to_the_target() -> None:
    found = cuts_by_step(0.5, 0.9, steps=100, share=0.6, count=4)
    assert list(found) == [0, 20, 40, 60]
    assert list(found.values()) == pytest.approx(
        [0.9 - 0.4 * left**3 for left in (0.75, 0.5, 0.25, 0.0)]
    )
    assert cuts_by_step(0.0, 0.9, steps=50, share=0.7, count=1) == {0: 0.9}


def test_of_cuts_before_the_same_step_the_last_counts() -> None:
    found = cuts_by_step(0.0, 0.9, steps=3, share=0.7, count=10)
    assert list(found) == [0, 1, 2]
    assert found[2] == pytest.approx(0.9)


@pytest.mark.parametrize("importance", ["fisher", "magnitude"])
def test_a_cut_lies_inside_the_mask_before_and_changes_no_weight(importance: str) -> None:
    model = tiny_bert().train()
    recipe = MaskRecipe("", 0, 0.8, temperature=0.0, importance=importance, allocation=1.0)
    cuts = Tightening(recipe, {0: 0.5, 4: 0.8}, toy_rows(64), TOY_TASK)
    first = cuts.cut(model, whole(model), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    second = cuts.cut(model, first, 4)
    assert (first.sparsity, second.sparsity) == pytest.approx((0.5, 0.8), abs=1e-3)
    assert first.contains(second)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("steps", "share"), [(1, 0.7), (4, 0.9), (50, 0.99)])
def test_the_last_cut_comes_before_the_last_step(steps: int, share: float) -> None:
    found = cuts_by_step(0.5, 0.9, steps, share, 10)
    assert max(found) <= steps - 1
    assert found[max(found)] == pytest.approx(0.9)


def half(model: nn.Module) -> Mask:
    """The larger half of every matrix, of which rows keep different numbers."""
    keep = {}
    for tensor in find_prunable(model):
        size = model.base_model.get_parameter(tensor.name).abs()  # type: ignore[union-attr, operator]
        keep[tensor.name] = size > size.median()
    return Mask.from_bools(keep)


def test_a_refit_cuts_every_row_by_the_same_share() -> None:
    model = tiny_bert(2).eval()
    before = half(model)
    rows = refit_batches(toy_rows(128), 128, 0)
    found = refit(model, before, rows, Silent(), RefitCut(before, 0.8, seed=0))
    assert found.matrices == len(before.names)
    assert found.mask.kept() == round(0.2 * before.total())
    assert before.contains(found.mask)
    for name in before.names:
        kept, left = before.keep(name).sum(1), found.mask.keep(name).sum(1)
        assert (left - kept * found.mask.kept() / before.kept()).abs().max() < 2, name
        weight = model.base_model.get_parameter(name)
        assert not weight[~found.mask.keep(name)].any()


def test_a_refit_cuts_every_group_to_its_number() -> None:
    """3:4 becomes 2:4, along the inputs of Linear matrices."""
    model = tiny_bert(2).eval()
    three = torch.ones(4, dtype=torch.bool)
    three[1] = False
    shapes = {tensor.name: tensor.shape for tensor in find_prunable(model)}
    before = Mask.from_bools({name: three.repeat(o, i // 4) for name, (o, i) in shapes.items()})
    rows = refit_batches(toy_rows(128), 128, 0)
    cut = RefitCut(before, 0.5, seed=0, granularity="3:4")
    found = refit(model, before, rows, Silent(), cut)
    assert before.contains(found.mask)
    for name in before.names:
        assert (found.mask.keep(name).view(-1, 4).sum(1) == 2).all()


def test_what_is_cut_depends_on_the_refitted_weights() -> None:
    """One matrix: what a dropped input said, another one says now, which the cut must keep."""
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 0.1, 1.0, 0.0]]))
    seen = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    seen[:, 1] = seen[:, 0]  # the second input can say what the first one says
    mask = Mask.from_bools({"0.weight": torch.tensor([[False, True, True, True]])})
    cut = RefitCut(mask, 0.75, seed=0)
    direct = copy.deepcopy(model)
    found = refit(model, mask, [{"input": seen}], Silent(), cut)
    assert found.mask.keep("0.weight").tolist() == [[False, True, False, False]]
    refit(direct, found.mask, [{"input": seen}], Silent())  # and the weights are those of its mask
    assert torch.equal(model[0].weight, direct[0].weight)
    assert model[0].weight[0, 1].item() == pytest.approx(3.1, abs=0.1)


def test_a_refit_without_inputs_to_see_tightens_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(36, 2))
    mask = Mask.from_bools({f"{i}.weight": torch.ones_like(model[i].weight) for i in (0, 2)})
    rows = [{"input": torch.ones(2, 3, 4, 4)}]
    with pytest.raises(RpmaskError, match=r"only by training: '0.weight' cannot be refitted"):
        refit(model, mask, rows, Silent(), RefitCut(mask, 0.5, seed=0))
    convolution = Mask.from_bools({"0.weight": torch.ones_like(model[0].weight)})
    with pytest.raises(RpmaskError, match="only by training"):
        refit(model, convolution, rows, Silent(), RefitCut(convolution, 0.5, seed=0))
    alone = Mask.from_bools({"2.weight": np.ones((2, 36), dtype=bool)})
    with pytest.raises(RpmaskError, match=r"'2.weight' has inputs that are not finite"):
        refit(
            model,
            alone,
            [{"input": torch.full((2, 3, 4, 4), torch.nan)}],
            Silent(),
            RefitCut(alone, 0.5, seed=0),
        )
