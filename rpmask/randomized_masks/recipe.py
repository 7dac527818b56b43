"""Check a mask recipe: its values, and the weights, statistics and parent mask it was made with.

A recipe promises the same mask again, so inputs other than its own are refused by digest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.masks.granularity import Granularity, parse_granularity
from rpmask.masks.mask import Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, combined_digest
from rpmask.randomized_masks.importance import Statistics, check_kind
from rpmask.records import OWL_ALLOCATION, ROW_ALLOCATION, MaskRecipe
from rpmask.streams import keyed_generator


def check_recipe(recipe: MaskRecipe) -> None:
    """Refuse values no mask can be drawn with."""
    if not 0.0 < recipe.sparsity < 1.0:
        raise RpmaskError(
            f"The sparsity {recipe.sparsity:g} is not between 0 and 1.",
            "It is the share of weights dropped, like 0.9375.",
        )
    if not (recipe.temperature >= 0.0 and math.isfinite(recipe.temperature)):
        raise RpmaskError(
            f"The temperature {recipe.temperature:g} is not a finite number from 0 up.",
            "0 is the deterministic mask, 0.2 the paper's.",
        )
    if not (recipe.sample_ratio > 0.0 and math.isfinite(recipe.sample_ratio)):
        raise RpmaskError(
            f"The sample ratio {recipe.sample_ratio:g} is not a number above 0.",
            "The paper uses 5e-5 to 3e-4.",
        )
    if recipe.votes is not None and recipe.votes < 1:
        raise RpmaskError(
            f"{recipe.votes} votes choose nothing.", "Give at least 1, or leave it out."
        )
    for name, value in (("allocation", recipe.allocation), ("floor", recipe.floor)):
        by_row = name == "allocation" and value in (ROW_ALLOCATION, OWL_ALLOCATION)
        if not (by_row or 0.0 <= value <= 1.0):
            raise RpmaskError(f"The {name} {value:g} is not between 0 and 1.", "Give 0 to 1.")
    if not 0.0 <= recipe.swapped < 1.0 or (recipe.swapped and recipe.temperature):
        raise RpmaskError(
            f"The swapped share {recipe.swapped:g} does not fit the temperature {recipe.temperature:g}.",
            "A twin belongs to a mask without noise, with a share from 0 to 1 exchanged.",
        )
    check_kind(recipe.importance)
    granularity = parse_granularity(recipe.granularity)
    if granularity.kind == "n:m":
        _check_groups(recipe, granularity)
    if granularity.kind in ("neuron", "head") and recipe.allocation < 0.0:
        raise RpmaskError(
            f"A {granularity.kind} is no part of a row, so the allocations row and owl are not possible.",
            "Use the allocation uniform, global or a number between.",
        )


def _check_groups(recipe: MaskRecipe, granularity: Granularity) -> None:
    dropped = 1.0 - granularity.first / granularity.second
    if abs(recipe.sparsity - dropped) > 1e-9:
        raise RpmaskError(
            f"The granularity {recipe.granularity} drops {dropped:g} of the weights, "
            f"the sparsity says {recipe.sparsity:g}.",
            f"Give the sparsity {dropped:g}, or another n:m.",
        )
    if recipe.allocation != 0.0:
        raise RpmaskError(
            f"The granularity {recipe.granularity} drops the same share in every tensor, "
            f"so the allocation {recipe.allocation:g} is not possible.",
            "Use the allocation uniform.",
        )


def check_inputs(
    recipe: MaskRecipe, statistics: Mapping[str, Statistics], parent: Mask | None
) -> None:
    """Refuse statistics and a parent mask other than those the recipe names."""
    if recipe.importance != "magnitude":
        given = statistics.get(recipe.importance)
        if given is None or given.kind != recipe.importance:
            raise RpmaskError(
                f"The recipe {recipe.id} needs {recipe.importance} statistics, and there are none.",
                "Give those of the run that made the recipe, or compute them with `rpmask sample`.",
            )
        if given.digest != recipe.importance_digest:
            raise RpmaskError(
                f"The recipe {recipe.id} was made with other {recipe.importance} statistics "
                f"({(recipe.importance_digest or 'none')[:12]}, not {given.digest[:12]}).",
                "Give the statistics kept with the recipe's pool.",
            )
    digest = None if parent is None else parent.digest
    if recipe.parent != digest:
        raise RpmaskError(
            f"The recipe {recipe.id} is for the parent mask {(recipe.parent or 'none')[:12]}, "
            f"not {(digest or 'none')[:12]}.",
            "Give the mask the recipe was made with as its parent.",
        )


def check_parent(parent: Mask, banks: Sequence[Bank]) -> None:
    """Refuse a parent mask of tensors the new mask does not cover: what it drops would come back."""
    shapes = {t.tensor.name: t.tensor.shape for bank in banks for t in bank.tilings}
    for name in parent.names:
        if shapes.get(name) != parent.shape(name):
            raise RpmaskError(
                f"The parent mask has '{name}' {parent.shape(name)}, which the new mask "
                + (f"has as {shapes[name]}." if name in shapes else "does not cover."),
                "A mask inside another must cover all that the other covers.",
            )


def check_weights(
    recipes: Sequence[MaskRecipe], digests: Mapping[str, str], tensors: Sequence[Prunable]
) -> None:
    """Refuse weights whose digest is not the one every recipe names."""
    found = combined_digest({tensor.name: digests[tensor.name] for tensor in tensors})
    for recipe in recipes:
        if recipe.weights_digest != found:
            raise RpmaskError(
                f"The recipe {recipe.id} is for the weights {recipe.weights_digest[:12]}, "
                f"these are {found[:12]}.",
                "Give the model the recipe was made with.",
            )


def votes_of(recipe: MaskRecipe, weights: int, kept: int) -> int:
    """m, the number of draws: the recipe's, or max(1, floor(ratio * (n - k))) counted in weights."""
    if recipe.votes is not None:
        return recipe.votes
    return max(1, math.floor(recipe.sample_ratio * (weights - kept)))


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers for one tensor under one seed."""
    return keyed_generator(canonical_json([seed, name]))
