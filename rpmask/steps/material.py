"""What `finetune` trains: the mask that a run holds, and the weights, teacher and data that belong to it."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask
from rpmask.records import DataChoice, Pool, Selection
from rpmask.results import JackpotResult
from rpmask.steps.context import Context
from rpmask.steps.training import MASK_FILE


@dataclass(frozen=True)
class Material:
    """What is trained: where the weights come from, the mask they are held to, the teacher."""

    task: str
    model: str
    start: str
    level: int
    sparsity: float
    data: DataChoice
    teacher: str | None = None
    mask: Mask | None = None
    selection_run_id: str | None = None
    pool_run_id: str | None = None


def find_material(source: str, teacher: str | None, context: Context) -> Material:
    """What a `select` or `jackpot` run holds; by run id, or by what it registered."""
    from rpmask.tracking.registry import run_of

    tracker = context.tracker
    run_id = run_of(tracker, source)
    found = _found if tracker.step_name(run_id) == "jackpot" else _selected
    return found(run_id, teacher, context)


def _selected(run_id: str, teacher: str | None, context: Context) -> Material:
    tracker = context.tracker
    tracker.step_of(run_id, "select")
    selection = tracker.artifacts.record(run_id, "selection.json", Selection)
    pool = tracker.artifacts.record(selection.pool_run_id, "pool.json", Pool)
    return Material(
        task=pool.task,
        model=pool.model,
        start=pool.start,
        level=pool.level,
        sparsity=pool.sparsity,
        data=pool.data,
        teacher=teacher or pool.teacher,
        mask=held_mask(context, run_id, selection.mask_digest),
        selection_run_id=run_id,
        pool_run_id=selection.pool_run_id,
    )


def _found(run_id: str, teacher: str | None, context: Context) -> Material:
    """The mask of a jackpot search, over the weights that were frozen in it."""
    found = context.tracker.artifacts.record(run_id, "jackpot.json", JackpotResult)
    return Material(
        task=found.task,
        model=found.model,
        start=found.weights,
        level=found.level,
        sparsity=found.sparsity,
        data=found.data,
        teacher=teacher or found.weights,
        mask=held_mask(context, run_id, found.mask_digest),
        selection_run_id=run_id,
    )


def held_mask(context: Context, run_id: str, digest: str, name: str = MASK_FILE) -> Mask:
    """A mask that a run logged, if it is the one that its record names."""
    mask = load_mask(context.tracker.artifacts.path(run_id, name))
    if mask.digest != digest:
        raise RpmaskError(
            f"The mask '{name}' of run '{run_id}' is not the one its record names.",
            "The artifact was changed or swapped; run the step again with --force.",
        )
    return mask
