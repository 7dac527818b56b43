"""The bins behind the keep-probability charts count every weight once and say what one draw expects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import tiny_bert

from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.keep_curves import KeepBins, keep_bins
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import MaskRecipe

MODEL = tiny_bert()
TENSORS = find_prunable(MODEL)
WEIGHTS = TensorWeights(MODEL)
DIGEST = weights_digest(WEIGHTS, TENSORS)


def recipe(**changed: object) -> MaskRecipe:
    given = {"sparsity": 0.8, "temperature": 0.3, **changed}
    return MaskRecipe(weights_digest=DIGEST, seed=3, **given)


def bins_of(wanted: MaskRecipe, parent: Mask | None = None, most: int = 4) -> list[KeepBins]:
    mask = draw_mask(wanted, WEIGHTS, TENSORS, parent=parent)
    return keep_bins(wanted, mask, WEIGHTS, TENSORS, statistics={}, parent=parent, most=most)


def test_every_weight_is_in_one_bin_and_the_kept_ones_are_the_masks() -> None:
    wanted = recipe()
    mask = draw_mask(wanted, WEIGHTS, TENSORS)
    found = bins_of(wanted, most=len(TENSORS))
    assert {each.name for each in found} == {tensor.name for tensor in TENSORS}
    for each in found:
        assert each.counts.sum() + each.zeros == mask.total(each.name)
        assert each.kept.sum() == mask.kept(each.name)
        assert (each.kept <= each.counts).all()


def test_one_draw_is_expected_to_keep_as_many_as_the_mask_has() -> None:
    for each in bins_of(recipe(temperature=0.7)):
        expected = float((each.counts * np.nan_to_num(each.keep)).sum())
        assert expected == pytest.approx(each.kept.sum(), rel=0.02)
        known = each.keep[np.isfinite(each.keep)]
        assert (np.diff(known) >= -1e-9).all()  # the more important, the likelier


def test_without_randomness_the_curve_is_a_step_at_the_cut() -> None:
    for each in bins_of(recipe(temperature=0.0)):
        known = each.keep[np.isfinite(each.keep)]
        assert known[0] == 0.0
        assert known[-1] == 1.0
        assert ((known > 0) & (known < 1)).sum() <= 1


def test_inside_a_parent_only_what_it_kept_is_counted() -> None:
    parent = draw_mask(recipe(sparsity=0.5, temperature=0.0), WEIGHTS, TENSORS)
    for each in bins_of(recipe(parent=parent.digest), parent):
        assert each.counts.sum() + each.zeros == parent.kept(each.name)


def test_banks_go_from_the_densest_to_the_sparsest() -> None:
    wanted = recipe(allocation=1.0)
    mask = draw_mask(wanted, WEIGHTS, TENSORS)
    densities = [round(mask.kept(b.name) / mask.total(b.name), 3) for b in bins_of(wanted, most=3)]
    assert len(densities) == 3
    assert densities == sorted(densities, reverse=True)
    every = [round(mask.kept(t.name) / mask.total(t.name), 3) for t in TENSORS]
    assert (densities[0], densities[-1]) == (max(every), min(every))


def test_groups_have_no_keep_probability_of_the_tensor() -> None:
    assert bins_of(recipe(sparsity=0.5, granularity="2:4")) == []


def test_a_far_tail_does_not_stretch_the_axis() -> None:
    tensor = Prunable("w", (1, 1000))
    values = torch.linspace(1.0, 2.0, 1000).reshape(1, 1000).clone()
    values[0, :20] = 1e-30
    weights = {"w": values}

    class Source:
        def load(self, name: str) -> torch.Tensor:
            return weights[name]

    keep = torch.zeros(1, 1000, dtype=torch.bool)
    keep[0, 500:] = True
    wanted = recipe(sparsity=0.5, temperature=0.0)
    statistics: dict[str, Statistics] = {}
    (found,) = keep_bins(
        wanted, Mask.from_bools({"w": keep}), Source(), [tensor], statistics=statistics
    )
    assert found.edges[0] > -1
    assert found.counts.sum() == 1000
    assert found.counts[0] >= 20
