"""The twins of a pool's control, which a race trains beside it to see how noisy training is."""

from __future__ import annotations

from rpmask.masks.mask import Mask
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.randomized_masks.twins import twin_of
from rpmask.records import MaskRecipe, Pool
from rpmask.steps.context import Context
from rpmask.steps.poolmasks import load_ingredients
from rpmask.tasks.spec import TaskSpec
from rpmask.train.models import stored_weights

Twins = list[tuple[MaskRecipe, Mask]]


def draw_twins(pool: Pool, count: int, start: str, spec: TaskSpec, context: Context) -> Twins:
    """So many twins of the control over the weights in the folder; none where they would be itself."""
    if count == 0:
        return []
    control = pool.candidates[pool.control]
    recipes = [twin_of(control.recipe, number) for number in range(1, count + 1)]
    needed = load_ingredients(pool, recipes, start, spec, context)
    source = stored_weights(start, spec, needed.tensors)
    masks = draw_masks(
        recipes, source, needed.tensors, statistics=needed.statistics, parent=needed.parent
    )
    if any(mask.digest == control.mask_digest for mask in masks):
        context.console.say(
            "The control has no twins: its units are too few to exchange a twentieth of them. The verdict "
            "will be about examples alone."
        )
        return []
    return list(zip(recipes, masks, strict=True))
