"""The importance statistics of a pool: the previous pool's, and those computed on calibration rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rpmask.heads.registry import head_of
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable
from rpmask.randomized_masks.importance import Statistics
from rpmask.records import MaskRecipe
from rpmask.steps.context import Context, Tee
from rpmask.steps.inputs import encoder_of
from rpmask.steps.pool_artifacts import load_statistics
from rpmask.steps.previous_pool import PreviousPool
from rpmask.steps.requests import SampleRequest
from rpmask.tasks.spec import TaskData

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

# Recipes, each with its trial if the study proposed it.
Planned = list[tuple[MaskRecipe, int | None]]


def pool_statistics(
    request: SampleRequest,
    previous: PreviousPool,
    context: Context,
    run: StepRun,
    data: TaskData,
    folder: str,
    tensors: tuple[Prunable, ...],
    planned: Planned,
    parent: Mask | None,
) -> dict[str, Statistics]:
    """The previous pool's statistics, and the missing ones computed on seeded calibration rows."""
    known: dict[str, Statistics] = {}
    if previous.pool is not None:  # its best mask must be drawn again with the same statistics
        known = load_statistics(previous.pool, set(previous.pool.statistics), context)
    asked = {recipe.importance: recipe for recipe, _ in planned}
    missing = sorted(asked.keys() - known.keys() - {"magnitude"})
    if not missing:
        return known
    from rpmask.randomized_masks.calibrate import calibrate
    from rpmask.randomized_masks.substeps import importance_after_substeps, usual_substeps
    from rpmask.train.batches import calibration_rows
    from rpmask.train.models import load_classifier

    encode = encoder_of(folder, data.spec, request.data)
    if head_of(data.spec).joins_rows:
        whole = encode(data.train)
        rows = calibration_rows(len(whole), request.calibration_rows, request.seed)
        split = whole.take(rows)
    else:
        rows = calibration_rows(len(data.train), request.calibration_rows, request.seed)
        split = encode(data.train.select(rows))
    model = load_classifier(folder, data.spec)
    substeps = request.substeps or usual_substeps(
        request.sparsity, parent.sparsity if parent else 0.0, request.granularity
    )
    with context.console.working("importance") as shown:
        observer = Tee(shown, run)
        if substeps == 1:
            names = [tensor.name for tensor in tensors]
            seed = request.seed
            return known | calibrate(
                model, split, data.spec, names, missing, seed=seed, observer=observer
            )
        allocation = max(request.space.allocations)  # the cuts of every allocation
        for kind in missing:
            known[kind] = importance_after_substeps(
                model,
                split,
                data.spec,
                tensors,
                replace(asked[kind], allocation=allocation, seed=request.seed),
                parent,
                substeps=substeps,
                observer=observer,
            )
    return known
