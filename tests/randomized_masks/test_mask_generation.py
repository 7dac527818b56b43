"""Recipes in, masks out: exact, redrawable, nested, and refused when the inputs are other ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from randomized_masks import golden
from safetensors.torch import save_file

from rpmask.errors import RpmaskError
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.mask import Mask
from rpmask.masks.masked import check_alive
from rpmask.masks.weights import Prunable, TensorWeights, weights_digest
from rpmask.randomized_masks.allocation import total_kept
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_mask, draw_masks
from rpmask.records import MaskRecipe

PINNED = json.loads(Path(golden.__file__).with_name("golden.json").read_text())


@pytest.fixture(scope="module")
def masks() -> dict[str, Mask]:
    return golden.draw()


def test_recipe_ids_and_mask_digests_are_pinned(masks: dict[str, Mask]) -> None:
    assert golden.summary(masks) == PINNED


@pytest.mark.parametrize("threads", [3, None])
def test_order_and_threads_change_nothing(threads: int | None) -> None:
    assert golden.summary(golden.draw(threads=threads, turned=True)) == PINNED


def test_another_process_and_processor_draw_the_same() -> None:
    script = Path(golden.__file__)
    # Without its vector instructions numpy's logarithms differ in the last bit: a lesser machine.
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    root = str(script.parents[2])
    found = subprocess.run(
        [sys.executable, str(script), "--threads", "2", "--reversed"],
        env={
            **os.environ,
            "PYTHONPATH": root,
            "PYTHONHASHSEED": "7",
            "OMP_NUM_THREADS": "2",
            "NPY_DISABLE_CPU_FEATURES": " ".join(simd),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == PINNED


def test_a_pool_changes_none_of_its_masks(masks: dict[str, Mask]) -> None:
    for name in ("paper", "fisher blend", "2:4"):
        alone = draw_mask(
            golden.RECIPES[name], golden.SOURCE, golden.TENSORS, statistics=golden.STATISTICS
        )
        assert alone == masks[name]


def test_a_folder_of_safetensors_draws_the_same(masks: dict[str, Mask], tmp_path: Path) -> None:
    stored = {f"bert.{name}": weight for name, weight in golden.WEIGHTS.items()}
    save_file(stored, tmp_path / "model.safetensors")
    source = SafetensorsWeights(tmp_path)
    assert draw_mask(golden.RECIPES["paper"], source, golden.TENSORS) == masks["paper"]


def test_counts_are_exact(masks: dict[str, Mask]) -> None:
    total = sum(tensor.numel for tensor in golden.TENSORS)
    for name, recipe in golden.RECIPES.items():
        mask = masks[name]
        if recipe.granularity in ("weight", "2:4"):
            assert mask.kept() == total_kept(total, recipe.sparsity)
        assert mask.sparsity == pytest.approx(recipe.sparsity, abs=1e-3)
        if recipe.allocation == 0.0:
            for tensor in mask.names:
                share = 1 - mask.kept(tensor) / mask.total(tensor)
                assert share == pytest.approx(recipe.sparsity, abs=1 / 64)
    assert {name for name in masks["neuron"].names if "attention" in name} == set()
    assert all("attention" in name for name in masks["head"].names)


def test_seeds_differ_and_masks_stay_near_the_control() -> None:
    first, second = (
        draw_mask(replace(golden.RECIPES["paper"], seed=seed), golden.SOURCE, golden.TENSORS)
        for seed in (1, 2)
    )
    assert first != second
    control = golden.draw()["control"]
    cold = replace(golden.RECIPES["paper"], temperature=0.02)
    colder = draw_mask(cold, golden.SOURCE, golden.TENSORS)
    assert 0.5 < control.overlap(first) < control.overlap(colder) < 1.0


def test_a_child_lies_inside_its_parent(masks: dict[str, Mask]) -> None:
    assert masks["parent"].contains(masks["child"])
    assert masks["child"].kept() < masks["parent"].kept()


@pytest.mark.parametrize(
    ("granularity", "first", "second"),
    [("block 4x4", 0.5, 0.75), ("neuron", 0.25, 0.5), ("head", 0.25, 0.5)],
)
def test_structures_nest(granularity: str, first: float, second: float) -> None:
    outer = golden.recipe(1, first, granularity=granularity, votes=5)
    parent = draw_mask(outer, golden.SOURCE, golden.TENSORS)
    inner = replace(outer, sparsity=second, parent=parent.digest)
    child = draw_mask(inner, golden.SOURCE, golden.TENSORS, parent=parent)
    assert parent.contains(child)
    assert child.sparsity == pytest.approx(second, abs=0.01)


def test_groups_nest_and_weights_may_follow_a_structure() -> None:
    parent = golden.draw()["2:4"]
    recipe = golden.recipe(1, 0.75, granularity="1:4", parent=parent.digest)
    child = draw_mask(recipe, golden.SOURCE, golden.TENSORS, parent=parent)
    assert parent.contains(child)
    assert child.sparsity == 0.75
    heads = golden.draw()["head"]
    recipe = golden.recipe(1, 0.75, parent=heads.digest)
    child = draw_mask(recipe, golden.SOURCE, golden.TENSORS, parent=heads)
    covered = Mask.from_bools({name: child.keep(name) for name in heads.names})
    assert heads.contains(covered)
    assert child.sparsity == pytest.approx(0.75, abs=1e-5)


def refused(says: str, recipe: MaskRecipe, **given: Any) -> RpmaskError:
    given = {"statistics": golden.STATISTICS, "tensors": golden.TENSORS, **given}
    with pytest.raises(RpmaskError, match=says) as caught:
        draw_mask(recipe, given.pop("source", golden.SOURCE), given.pop("tensors"), **given)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"sparsity": 0.0}, "sparsity 0 is not between"),
        ({"sparsity": 1.0}, "sparsity 1 is not between"),
        ({"sparsity": float("nan")}, "sparsity nan"),
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"sample_ratio": 0.0}, "sample ratio 0"),
        ({"votes": 0}, "0 votes"),
        ({"allocation": 1.1}, "allocation 1.1"),
        ({"floor": -1.0}, "floor -1"),
        ({"importance": "size"}, "no importance 'size'"),
        ({"granularity": "row"}, "no granularity 'row'"),
        ({"granularity": "2:4"}, "drops 0.5 of the weights, the sparsity says 0.9375"),
        ({"granularity": "2:4", "sparsity": 0.5, "allocation": 0.5}, "same share in every tensor"),
        ({"granularity": "block 3x4"}, "do not divide by 3"),
    ],
)
def test_recipes_that_cannot_be_drawn(knobs: dict[str, Any], says: str) -> None:
    refused(says, replace(golden.RECIPES["paper"], **knobs))


def test_other_weights_are_refused() -> None:
    changed = {**golden.WEIGHTS, "encoder.layer.0.output.dense.weight": torch.zeros(64, 160)}
    refused("is for the weights", golden.RECIPES["paper"], source=TensorWeights(changed))
    # Also where the changed tensor is one the granularity does not touch.
    refused("is for the weights", golden.RECIPES["head"], source=TensorWeights(changed))
    changed["encoder.layer.0.output.dense.weight"] = torch.zeros(160, 64)
    refused(r"has shape \(160, 64\)", golden.RECIPES["paper"], source=TensorWeights(changed))
    changed["encoder.layer.0.output.dense.weight"] = torch.full((64, 160), float("nan"))
    refused("has NaN", golden.RECIPES["paper"], source=TensorWeights(changed))


def test_other_statistics_are_refused() -> None:
    recipe = golden.RECIPES["wanda"]
    refused("needs wanda statistics", recipe, statistics={})
    refused("needs wanda statistics", recipe, statistics={"wanda": golden.STATISTICS["fisher"]})
    double = {name: tensor * 2 for name, tensor in golden.STATISTICS["wanda"].tensors.items()}
    other = Statistics.of("wanda", double)
    refused("with other wanda statistics", recipe, statistics={"wanda": other})
    few = Statistics.of("wanda", dict(list(golden.STATISTICS["wanda"].tensors.items())[:3]))
    recipe = replace(recipe, importance_digest=few.digest)
    refused("there are none", recipe, statistics={"wanda": few})


def test_other_parents_are_refused(masks: dict[str, Mask]) -> None:
    paper, parent = golden.RECIPES["paper"], masks["parent"]
    refused("is for the parent mask none", paper, parent=parent)
    refused("not none", replace(paper, parent=parent.digest))
    inside = replace(paper, parent=parent.digest)
    refused("but the parent mask has", replace(inside, sparsity=0.3), parent=parent)
    refused("does not cover", inside, parent=parent, tensors=golden.TENSORS[1:])
    refused("cuts through units", replace(inside, granularity="block 4x4"), parent=parent)
    refused("fewer than 2 weights", replace(inside, granularity="2:4", sparsity=0.5), parent=parent)
    turned = Mask.from_bools({golden.TENSORS[4].name: np.ones((64, 160), bool)})
    refused(r"has as \(160, 64\)", replace(paper, parent=turned.digest), parent=turned)


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4),
    sparsities=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)),
    temperature=st.sampled_from([0.0, 0.2, 2.0]),
    allocation=st.sampled_from([0.0, 0.5, 1.0]),
    values=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
def test_any_shapes_any_ties_nested(
    shapes: list[tuple[int, int]],
    sparsities: tuple[float, float],
    temperature: float,
    allocation: float,
    values: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    weights = {
        f"blocks.{i}.weight": torch.from_numpy(random.integers(-values, values + 1, shape)).float()
        for i, shape in enumerate(shapes)
    }
    tensors = [Prunable(name, tuple(weight.shape)) for name, weight in weights.items()]
    source = TensorWeights(weights)
    outer, inner = sorted(sparsities)
    assume(round(sum(weight.numel() for weight in weights.values()) * (1.0 - inner)))
    recipe = MaskRecipe(
        weights_digest(source, tensors),
        seed,
        outer,
        temperature=temperature,
        allocation=allocation,
        votes=3,
    )
    parent = draw_mask(recipe, source, tensors)
    nested = replace(recipe, sparsity=inner, parent=parent.digest, seed=seed + 1)
    children = draw_masks([nested, replace(nested, allocation=0.0)], source, tensors, parent=parent)
    total = sum(tensor.numel for tensor in tensors)
    assert parent.kept() == total_kept(total, outer)
    for child in children:
        assert child.kept() == total_kept(total, inner)
        assert parent.contains(child)


def test_masks_that_keep_zeros_are_refused() -> None:
    """A model that is sparse already takes a mask of a higher sparsity and none of a lower one."""
    weights = torch.linspace(1.0, 2.0, 4000).reshape(40, 100)
    weights[:, ::2] = 0
    tensors = (Prunable("layer.0.weight", (40, 100)),)
    source = TensorWeights({"layer.0.weight": weights})
    digest = weights_digest(source, tensors)

    def drawn(sparsity: float) -> list[Mask]:
        noises = (0.0, 0.5, 2.0)
        recipes = [
            MaskRecipe(weights_digest=digest, seed=1, sparsity=sparsity, temperature=noise)
            for noise in noises
        ]
        return draw_masks(recipes, source, tensors)

    check_alive(drawn(0.6), source)
    with pytest.raises(RpmaskError, match=r"keeps 2,400 weights of 'layer.*400 of those are zero"):
        check_alive(drawn(0.4), source)
