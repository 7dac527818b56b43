"""Whether a recipe is drawn from what it was made with: weights, statistics, parent mask.

A recipe is a promise to give the same mask again, so inputs other than its own are refused by digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, combined_digest
from rpmask.randomized_masks.importance import Statistics
from rpmask.records import MaskRecipe


def check_given(
    recipe: MaskRecipe, statistics: Mapping[str, Statistics], parent: Mask | None
) -> None:
    """The statistics and the parent mask must be those the recipe names."""
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
                "Give the statistics kept with the pool the recipe is from.",
            )
    digest = None if parent is None else parent.digest
    if recipe.parent != digest:
        raise RpmaskError(
            f"The recipe {recipe.id} is for the parent mask {(recipe.parent or 'none')[:12]}, "
            f"not {(digest or 'none')[:12]}.",
            "Give the mask the recipe was made with as its parent.",
        )


def check_parent(parent: Mask | None, banks: Sequence[Bank]) -> None:
    """What a parent mask drops would come back where the new mask does not reach."""
    if parent is None:
        return
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
    """The digests of the tensors read must add up to what every recipe names."""
    found = combined_digest({tensor.name: digests[tensor.name] for tensor in tensors})
    for recipe in recipes:
        if recipe.weights_digest != found:
            raise RpmaskError(
                f"The recipe {recipe.id} is for the weights {recipe.weights_digest[:12]}, "
                f"these are {found[:12]}.",
                "Give the model the recipe was made with.",
            )
