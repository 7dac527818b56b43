"""Twins differ from their mask in a twentieth of what it keeps, and come out again from a recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.twins import exchange, exchange_in_groups, lowest, twin_of
from rpmask.records import MaskRecipe


class Blocks(nn.Module):
    """Two matrices in a repeated block, of 20,000 and of 1,200 weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.blocks = nn.ModuleList([nn.Linear(200, 100), nn.Linear(100, 12)])


def drawn(granularity: str, sparsity: float) -> tuple[MaskRecipe, object, object]:
    model = Blocks()
    tensors, source = find_prunable(model), TensorWeights(model)
    recipe = MaskRecipe(weights_digest(source, tensors), 5, sparsity, temperature=0.0)
    return replace(recipe, granularity=granularity), source, tensors


@pytest.mark.parametrize(
    ("granularity", "sparsity"), [("weight", 0.8), ("weight", 0.5), ("2:4", 0.5)]
)
def test_a_twentieth_is_exchanged_and_counts_stay(granularity: str, sparsity: float) -> None:
    recipe, source, tensors = drawn(granularity, sparsity)
    control = draw_mask(recipe, source, tensors)
    twins = [draw_mask(twin_of(recipe, number), source, tensors) for number in (1, 2, 3)]
    for twin in twins:
        for name in control.names:
            kept, exchanged = control.kept(name), control.keep(name) & ~twin.keep(name)
            assert twin.kept(name) == kept
            assert int(exchanged.sum()) == max(1, round(0.05 * kept))
    assert len({twin.digest for twin in (control, *twins)}) == 4
    again = draw_mask(twin_of(recipe, 2), source, tensors)
    assert again.digest == twins[1].digest


def test_only_weights_at_the_cut_are_exchanged() -> None:
    scores = np.arange(1, 2001, dtype=np.float32)  # the last thousand are kept: one is exchanged
    keep = scores > 1000
    for seed in range(20):
        found = exchange(keep, scores, 0.001, np.random.default_rng(seed), None)
        assert set(scores[keep & ~found]) < {1001.0, 1002.0}
        assert set(scores[found & ~keep]) < {999.0, 1000.0}


def test_a_parent_s_zeros_stay_zero() -> None:
    scores = np.arange(1, 2001, dtype=np.float32)
    allowed = (scores > 1000) | (scores <= 500)  # the best dropped ones are not to be had
    found = exchange(scores > 1000, scores, 0.001, np.random.default_rng(0), allowed)
    assert set(scores[found & (scores <= 1000)]) < {499.0, 500.0}


def test_groups_keep_their_number() -> None:
    scores = np.random.default_rng(1).random((500, 4), dtype=np.float32)
    keep = np.argsort(np.argsort(-scores, axis=1), axis=1) < 2
    found = exchange_in_groups(keep, scores, 0.002, np.random.default_rng(2), None)
    assert (found.sum(axis=1) == 2).all()
    assert int((keep & ~found).sum()) == 2
    changed = np.flatnonzero((keep != found).any(axis=1))
    for row in changed:  # the third best for the second best
        order = np.argsort(-scores[row])
        assert list(np.flatnonzero(keep[row] != found[row])) == sorted(order[1:3])


def test_of_few_units_there_is_no_twin() -> None:
    recipe, source, tensors = drawn("weight", 0.9995)
    assert draw_mask(twin_of(recipe, 1), source, tensors).digest == (
        draw_mask(recipe, source, tensors).digest
    )


def test_a_draw_with_noise_has_no_twin() -> None:
    recipe, source, tensors = drawn("weight", 0.8)
    with pytest.raises(RpmaskError, match="does not fit the temperature"):
        draw_mask(replace(recipe, temperature=0.2, swapped=0.001), source, tensors)


@pytest.mark.parametrize("count", [0, 1, 40, 399, 400, 900])
def test_the_lowest_values_are_those_of_a_stable_sort(count: int) -> None:
    values = np.random.default_rng(2).integers(0, 30, 400).astype(np.float32)  # many are equal
    assert lowest(values, count).tolist() == np.argsort(values, kind="stable")[:count].tolist()
