"""The masks of a pool: written to its run, read and proved, or what it takes to draw them again."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, save_mask
from rpmask.records import MaskRecipe, Pool
from rpmask.steps.context import Context

if TYPE_CHECKING:
    from rpmask.masks.weights import Prunable
    from rpmask.randomized_masks.importance import Statistics
    from rpmask.tasks.spec import TaskSpec
    from rpmask.tracking.runs import StepRun


@dataclass(frozen=True)
class Ingredients:
    """What recipes are drawn with beside the weights."""

    tensors: tuple[Prunable, ...]
    statistics: dict[str, Statistics]
    parent: Mask | None


def mask_name(index: int) -> str:
    """The artifact that holds a candidate's mask."""
    return f"masks/candidate-{index:02d}.safetensors"


def statistics_name(kind: str) -> str:
    """The artifact that holds an importance's statistics."""
    return f"statistics/{kind}.safetensors"


def write_pool(
    run: StepRun, pool: Pool, masks: Iterable[Mask], statistics: Mapping[str, Statistics]
) -> list[int]:
    """The pool, the packed masks and the statistics, as artifacts; the bytes of each mask."""
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        for index, (candidate, mask) in enumerate(zip(pool.candidates, masks, strict=True)):
            path = Path(temporary) / mask_name(index)
            path.parent.mkdir(exist_ok=True)
            sizes.append(save_mask(mask, path, candidate.recipe))
        for kind, found in statistics.items():
            path = Path(temporary) / statistics_name(kind)
            path.parent.mkdir(exist_ok=True)
            found.save(path)
        run.log_folder(Path(temporary))
    run.log_json("pool.json", pool.to_dict())
    return sizes


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
    from rpmask.masks.weights import find_prunable
    from rpmask.train.models import skeleton

    return Ingredients(
        tensors=find_prunable(skeleton(folder, spec), pool.include, pool.exclude),
        statistics=load_statistics(pool, {recipe.importance for recipe in recipes}, context),
        parent=load_parent(pool.parent_run_id, context),
    )


def load_statistics(pool: Pool, kinds: Collection[str], context: Context) -> dict[str, Statistics]:
    """Those of these kinds that the pool was drawn with."""
    from rpmask.randomized_masks.importance import Statistics

    artifacts = context.tracker.artifacts
    return {
        kind: Statistics.load(artifacts.path(pool.run_id, statistics_name(kind)))
        for kind in pool.statistics
        if kind in kinds
    }


def load_parent(run_id: str | None, context: Context) -> Mask | None:
    """The mask of the finetune run that a pool is drawn inside of."""
    if run_id is None:
        return None
    return load_mask(context.tracker.artifacts.path(run_id, "mask.safetensors"))
