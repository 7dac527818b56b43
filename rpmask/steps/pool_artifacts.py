"""The artifacts of a pool: write and read its masks and statistics, redraw its masks."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, save_mask
from rpmask.masks.weights import find_prunable
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.randomized_masks.twins import twin_of
from rpmask.records import MaskRecipe, Pool
from rpmask.steps.context import Context
from rpmask.steps.resolve import MASK_FILE, candidate_file, load_proved
from rpmask.tasks.spec import TaskSpec
from rpmask.train.models import skeleton, stored_weights

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

Twins = list[tuple[MaskRecipe, Mask]]


def _statistics_file(kind: str) -> str:
    return f"statistics/{kind}.safetensors"


def write_pool(
    run: StepRun, pool: Pool, masks: Iterable[Mask], statistics: Mapping[str, Statistics]
) -> list[int]:
    """Log the pool, its packed masks and its statistics; return the bytes of each mask."""
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("masks", "statistics"):
            (folder / name).mkdir()
        for index, (candidate, mask) in enumerate(zip(pool.candidates, masks, strict=True)):
            sizes.append(save_mask(mask, folder / candidate_file(index), candidate.recipe))
        for kind, found in statistics.items():
            found.save(folder / _statistics_file(kind))
        run.log_folder(folder)
    run.log_json("pool.json", pool.to_dict())
    return sizes


def load_masks(pool: Pool, context: Context) -> tuple[Mask, ...]:
    """Load the masks of every candidate, each compared with its digest."""
    return tuple(
        load_proved(context, pool.run_id, candidate_file(index), candidate.mask_digest)
        for index, candidate in enumerate(pool.candidates)
    )


def load_statistics(pool: Pool, kinds: Collection[str], context: Context) -> dict[str, Statistics]:
    """Load those of these kinds of statistics that the pool was drawn with."""
    artifacts = context.tracker.artifacts
    return {
        kind: Statistics.load(artifacts.path(pool.run_id, _statistics_file(kind)))
        for kind in pool.statistics
        if kind in kinds
    }


def load_parent(run_id: str | None, context: Context) -> Mask | None:
    """Load the mask of the finetune run whose mask contains a pool's masks."""
    if run_id is None:
        return None
    return load_mask(context.tracker.artifacts.path(run_id, MASK_FILE))


def redraw(
    pool: Pool, recipes: Sequence[MaskRecipe], folder: str, spec: TaskSpec, context: Context
) -> Sequence[Mask]:
    """Draw the masks of these recipes of a pool over the weights in the folder."""
    tensors = find_prunable(skeleton(folder, spec), pool.include, pool.exclude)
    return draw_masks(
        recipes,
        stored_weights(folder, spec, tensors),
        tensors,
        statistics=load_statistics(pool, {recipe.importance for recipe in recipes}, context),
        parent=load_parent(pool.parent_run_id, context),
    )


def draw_twins(pool: Pool, count: int, folder: str, spec: TaskSpec, context: Context) -> Twins:
    """Draw the twins of the control, whose training shows the noise; none where they would equal it."""
    if count == 0:
        return []
    control = pool.candidates[pool.control]
    recipes = [twin_of(control.recipe, number) for number in range(1, count + 1)]
    masks = redraw(pool, recipes, folder, spec, context)
    if any(mask.digest == control.mask_digest for mask in masks):
        context.console.say(
            "The control has no twins: its units are too few to exchange a twentieth of them. The verdict "
            "will be about examples alone."
        )
        return []
    return list(zip(recipes, masks, strict=True))
