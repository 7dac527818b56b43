"""What a new pool continues: an earlier pool and its race (`--like`), or the level before (`--from`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.records import MaskRecipe, Pool, ScreenReport
from rpmask.steps.context import Context
from rpmask.steps.frame import address
from rpmask.steps.requests import PAPER_SPACE, SampleRequest
from rpmask.steps.resolve import resolve
from rpmask.tracking.study import Study
from rpmask.words import percent


@dataclass(frozen=True)
class PreviousPool:
    """The pool of the previous generation, and its race if it was raced; neither for a first pool."""

    pool: Pool | None = None
    report: ScreenReport | None = None

    @property
    def best(self) -> MaskRecipe | None:
        """The best recipe so far, unless it is the control's."""
        if self.pool is None or self.report is None:
            return None
        finished = (raced for raced in self.report.candidates if raced.status == "finished")
        best = min(finished, key=lambda raced: raced.rungs[-1].value)
        return None if best.index == self.pool.control else self.pool.candidates[best.index].recipe

    @property
    def study(self) -> str | None:
        """The study that learned from the race."""
        raced = self.report.study if self.report else None
        return raced or (self.pool.study if self.pool else None)

    def key_inputs(self, context: Context) -> dict[str, Any]:
        """Return what a pool that continues this one depends on: how it was drawn, and its race."""
        if self.pool is None:
            return {}
        drawn = context.tracker.tag_of(self.pool.run_id, "key")
        raced = self.report.candidates if self.report else ()
        values = [
            (one.recipe_id, one.status, one.rungs[-1].value if one.rungs else None) for one in raced
        ]
        return {"continues": {"pool": drawn, "race": values}}

    @property
    def generation(self) -> int:
        """The generation of the pool; 0 without one."""
        return self.pool.generation if self.pool else 0

    @property
    def centres(self) -> set[tuple[str, float]]:
        """The importance and allocation of the masks without noise that it held."""
        recipes = [candidate.recipe for candidate in self.pool.candidates] if self.pool else []
        recipes += [self.best] if self.best else []
        return {(r.importance, r.allocation) for r in recipes if r.temperature == 0}

    @property
    def compared(self) -> int:
        """Number of comparisons during the race with the control up to now."""
        return self.pool.looked + len(self.pool.candidates) - 1 if self.pool else 0


def find_previous(like: str | None, context: Context) -> PreviousPool:
    """Return the pool that `--like` names with its latest race, or the race that it names."""
    if like is None:
        return PreviousPool()
    tracker = context.tracker
    report = None
    if tracker.step_name(like) == "screen":
        report = tracker.artifacts.record(like, "screen.json", ScreenReport)
    pool_run_id = report.pool_run_id if report else tracker.step_of(like, "sample")
    if report is None:
        raced = [r for r in tracker.find(step="screen", pool=like) if r.info.status == "FINISHED"]
        if raced:
            report = tracker.artifacts.record(raced[0].info.run_id, "screen.json", ScreenReport)
    pool = tracker.artifacts.record(pool_run_id, "pool.json", Pool)
    if pool.study is None:
        raise RpmaskError(f"Run '{like}' has no study.", "Name another pool.")
    return PreviousPool(pool, report)


def continue_pool(
    request: SampleRequest, previous: PreviousPool, context: Context
) -> SampleRequest:
    """Complete the request by what the recipe or the previous pool decides.

    A study compares losses of one problem only, and searches one space.
    """
    if request.recipe == "paper":
        request = replace(request, space=PAPER_SPACE)
    pool = previous.pool
    if pool is None:
        return request
    if request.sparsity != pool.sparsity:
        raise RpmaskError(
            f"The pool of run '{request.like}' is at the sparsity {pool.sparsity:g}, not "
            f"{request.sparsity:g}.",
            "Losses at different sparsities cannot be compared: leave --sparsity or --like out.",
        )
    space = request.space
    if request.recipe != "paper":
        space = Study(request.storage, context.folder, previous.study or "").agree(space)
    control = pool.candidates[pool.control].recipe
    return replace(
        request,
        space=space,
        task=pool.task,
        model=pool.model,
        start=pool.start,
        teacher=pool.teacher,
        level=pool.level,
        parent_run_id=pool.parent_run_id,
        granularity=control.granularity,
        floor=control.floor,
        substeps=_substeps(pool) or request.substeps,
        include=pool.include,
        exclude=pool.exclude,
        like=pool.run_id,
        data=pool.data,
    )


def _substeps(pool: Pool) -> int | None:
    """The sub-steps of a pool's statistics; None if it has none."""
    recipes = [candidate.recipe for candidate in pool.candidates]
    return next((r.substeps for r in recipes if r.importance != "magnitude"), None)


def open_study(
    request: SampleRequest, previous: PreviousPool, run_id: str, context: Context
) -> Study:
    """Open the study of a pool: a new one, or the previous pool's, whose lost trials are queued again."""
    if previous.pool is None:
        name = f"{request.task}-{percent(request.sparsity)}-{run_id[:12]}"
        return Study(request.storage, context.folder, name)
    study = Study(request.storage, context.folder, previous.study or "")
    for owner in study.owners() - {run_id}:
        if context.tracker.lost(owner):
            study.requeue(owner)
    return study


def next_level(request: SampleRequest, finetuned: str, context: Context) -> SampleRequest:
    """Continue a finetune run, or a version it registered: draw from its weights, inside its mask."""
    found = resolve(finetuned, context, ("finetune",))
    if found.mask_digest is None:
        raise RpmaskError(
            f"Run '{found.run_id}' trained a dense model; there is no mask to draw inside of.",
            "Name its registered version with --model instead.",
        )
    if request.sparsity <= found.sparsity:
        raise RpmaskError(
            f"The mask of run '{found.run_id}' drops {found.sparsity:g} already; nothing is left to draw "
            f"at {request.sparsity:g}.",
            "Give a higher --sparsity.",
        )
    model = context.tracker.artifacts.json(found.run_id or "", "result.json")["model"]
    return replace(
        request,
        task=found.task,
        model=found.model,
        start=address(model),
        teacher=found.teacher,
        level=found.level + 1,
        parent_run_id=found.run_id,
        data=found.data,
    )
