"""The masks of a pool: read from its run and proved, or what it takes to draw them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rpmask.errors import RpmaskError
from rpmask.learn.models import skeleton
from rpmask.masks.importance import Statistics
from rpmask.masks.mask import Mask
from rpmask.masks.maskfile import load_mask
from rpmask.masks.weights import Prunable, find_prunable
from rpmask.records import MaskRecipe, Pool
from rpmask.steps.context import Context
from rpmask.steps.sample import mask_name, statistics_name
from rpmask.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Ingredients:
    """What recipes are drawn with beside the weights."""

    tensors: tuple[Prunable, ...]
    statistics: dict[str, Statistics]
    parent: Mask | None


def load_masks(pool: Pool, run_id: str, context: Context) -> tuple[Mask, ...]:
    """The pool's masks, each proved by its digest."""
    masks = []
    for index, candidate in enumerate(pool.candidates):
        mask = load_mask(context.tracker.artifacts.path(run_id, mask_name(index)))
        if mask.digest != candidate.mask_digest:
            raise RpmaskError(
                f"The mask of candidate {index} of run '{run_id}' is not the one in pool.json.",
                "The artifact was changed or swapped; run `rpmask sample --force` again.",
            )
        masks.append(mask)
    return tuple(masks)


def load_ingredients(
    pool: Pool, recipes: Iterable[MaskRecipe], folder: str, spec: TaskSpec, context: Context
) -> Ingredients:
    """What draws these recipes of a pool over the weights in the folder."""
    artifacts = context.tracker.artifacts
    wanted = {recipe.importance for recipe in recipes}
    parent = None
    if pool.parent_run_id is not None:
        parent = load_mask(artifacts.path(pool.parent_run_id, "mask.safetensors"))
    return Ingredients(
        tensors=find_prunable(skeleton(folder, spec), pool.include, pool.exclude),
        statistics={
            kind: Statistics.load(artifacts.path(pool.run_id, statistics_name(kind)))
            for kind in pool.statistics
            if kind in wanted
        },
        parent=parent,
    )
