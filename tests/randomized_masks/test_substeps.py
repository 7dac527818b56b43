"""Sub-steps: the sparsities on the way, what the last importances are, and masks drawn from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.substeps import (
    importance_after_substeps,
    sparsities,
    usual_substeps,
)
from rpmask.records import ROW_ALLOCATION, MaskRecipe
from rpmask.train.observer import Silent


def a_recipe(model: torch.nn.Module, **changed: object) -> MaskRecipe:
    digest = weights_digest(TensorWeights(model), find_prunable(model))
    recipe = MaskRecipe(digest, seed=0, sparsity=0.9, temperature=0.0, importance="fisher")
    return replace(recipe, allocation=1.0, **changed)


def after(
    model: torch.nn.Module, recipe: MaskRecipe, parent: Mask | None = None, substeps: int = 3
) -> Statistics:
    return importance_after_substeps(
        model,
        toy_rows(32),
        TOY_TASK,
        find_prunable(model),
        recipe,
        parent,
        substeps=substeps,
        observer=Silent(),
    )


def drawn(
    model: torch.nn.Module, recipe: MaskRecipe, found: Statistics, parent: Mask | None = None
) -> Mask:
    recipe = replace(recipe, importance_digest=found.digest, substeps=found.substeps)
    statistics = {found.kind: found}
    tensors = find_prunable(model)
    return draw_mask(recipe, TensorWeights(model), tensors, statistics=statistics, parent=parent)


def test_each_sub_step_keeps_the_same_share_of_what_is_left() -> None:
    assert list(sparsities(0.97, 0.0, 1)) == []
    kept = [1.0 - sparsity for sparsity in sparsities(0.936, 0.0, 3)]
    assert kept == pytest.approx([0.4, 0.16])
    assert list(sparsities(0.96, 0.84, 2)) == pytest.approx([0.92])


@pytest.mark.parametrize(
    ("sparsity", "before", "granularity", "expected"),
    [
        (0.9375, 0.0, "weight", 3),
        (0.97, 0.0, "neuron", 4),
        (0.99, 0.0, "weight", 5),
        (0.54, 0.0, "weight", 1),
        (0.83, 0.54, "weight", 1),
        (0.9375, 0.92, "weight", 1),
        (0.75, 0.0, "1:4", 1),
    ],
)
def test_a_usual_sub_step_keeps_about_two_fifths_of_what_is_left(
    sparsity: float, before: float, granularity: str, expected: int
) -> None:
    assert usual_substeps(sparsity, before, granularity) == expected


@pytest.mark.parametrize("kind", ["fisher", "taylor", "wanda"])
def test_the_importances_are_of_what_the_last_but_one_cut_kept(kind: str) -> None:
    model = tiny_bert()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = a_recipe(model, importance=kind)
    found = after(model, recipe)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    total = sum(tensor.numel for tensor in find_prunable(model))
    alive = sum(int(torch.count_nonzero(values)) for values in found.tensors.values())
    assert alive == round(total * 0.1 ** (2 / 3))
    mask = drawn(model, recipe, found)
    assert mask.kept() == round(total * 0.1)
    assert all(bool(found.tensors[name][mask.keep(name)].all()) for name in mask.names)
    assert found.digest == after(model, recipe).digest
    # One look at the dense model chooses other weights.
    assert mask.overlap(drawn(model, recipe, after(model, recipe, substeps=1))) < 0.99


def test_a_uniform_mask_stays_within_the_cuts() -> None:
    """Of a tensor that the cuts left too little of, it keeps all of that."""
    model = tiny_bert()
    recipe = a_recipe(model)
    found = after(model, recipe)
    mask = drawn(model, replace(recipe, allocation=0.0), found)
    assert mask.kept() == drawn(model, recipe, found).kept()
    assert all(bool(found.tensors[name][mask.keep(name)].all()) for name in mask.names)


def test_random_masks_stay_within_the_cuts_and_the_parent() -> None:
    model = tiny_bert()
    tensors = find_prunable(model)
    half = a_recipe(model, importance="magnitude", sparsity=0.5)
    parent = draw_mask(half, TensorWeights(model), tensors)
    recipe = a_recipe(model, parent=parent.digest)
    found = after(model, recipe, parent)
    assert all(not found.tensors[name][~parent.keep(name)].any() for name in parent.names)
    noisy = drawn(model, replace(recipe, temperature=0.5, seed=3), found, parent)
    assert parent.contains(noisy)
    assert noisy != drawn(model, recipe, found, parent)
    assert all(bool(found.tensors[name][noisy.keep(name)].all()) for name in noisy.names)


def test_the_file_says_how_many_sub_steps(tmp_path: Path) -> None:
    model = tiny_bert()
    found = after(model, a_recipe(model))
    found.save(tmp_path / "fisher.safetensors")
    read = Statistics.load(tmp_path / "fisher.safetensors")
    assert (read.substeps, read.digest) == (3, found.digest)
    assert Statistics.of("fisher", found.tensors).digest != found.digest


def test_blocks_are_cut_whole() -> None:
    model = tiny_bert()
    recipe = a_recipe(model, granularity="block 4x4", sparsity=0.75)
    found = after(model, recipe, substeps=2)
    for name, values in found.tensors.items():
        tensor = Prunable(name, tuple(values.shape))
        rows, columns = tensor.shape
        blocks = (values > 0).reshape(rows // 4, 4, columns // 4, 4).sum(dim=(1, 3))
        assert set(blocks.unique().tolist()) <= {0, 16}


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_rows_are_cut_alike_and_draws_stay_within_the_cuts(temperature: float) -> None:
    model = tiny_bert()
    recipe = replace(a_recipe(model, importance="wanda"), allocation=ROW_ALLOCATION)
    found = after(model, recipe)
    mask = drawn(model, replace(recipe, temperature=temperature, seed=3), found)
    for name in mask.names:
        counts = mask.keep(name).sum(1)
        assert int(counts.max() - counts.min()) <= 1
        assert bool(found.tensors[name][mask.keep(name)].all())
