"""Tightening: when the cuts come, and what each does to the mask and the model."""

from __future__ import annotations

import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.masks.mask import Mask
from rpmask.masks.weights import find_prunable
from rpmask.randomized_masks.tightening import Tightening, cuts_by_step
from rpmask.records import MaskRecipe


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
