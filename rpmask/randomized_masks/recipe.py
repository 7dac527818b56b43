"""What a recipe may say, and what follows from it without looking at a weight."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.masks.granularity import Granularity, parse_granularity
from rpmask.randomized_masks.importance import check_kind
from rpmask.records import MaskRecipe


def check_recipe(recipe: MaskRecipe) -> Granularity:
    """Refuse values no mask can be drawn with; the parsed granularity."""
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
        if not 0.0 <= value <= 1.0:
            raise RpmaskError(f"The {name} {value:g} is not between 0 and 1.", "Give 0 to 1.")
    if not 0.0 <= recipe.swapped < 1.0 or (recipe.swapped and recipe.temperature):
        raise RpmaskError(
            f"The swapped share {recipe.swapped:g} does not fit the temperature {recipe.temperature:g}.",
            "A twin is of a mask without noise, with a share from 0 to 1 exchanged.",
        )
    check_kind(recipe.importance)
    granularity = parse_granularity(recipe.granularity)
    if granularity.kind == "n:m":
        _check_groups(recipe, granularity)
    return granularity


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
            f"so an allocation of {recipe.allocation:g} cannot be had.",
            "Use the allocation uniform.",
        )


def votes_of(recipe: MaskRecipe, weights: int, kept: int) -> int:
    """m, the number of draws: the recipe's, or max(1, floor(ratio * (n - k))) counted in weights."""
    if recipe.votes is not None:
        return recipe.votes
    return max(1, math.floor(recipe.sample_ratio * (weights - kept)))


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one tensor under one seed, and of no other."""
    key = hashlib.sha256(canonical_json([seed, name]).encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
