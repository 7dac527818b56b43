"""What a pool continues: a race whose study it goes on with (`--like`), or the level before (`--from`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rpmask.errors import RpmaskError
from rpmask.records import MaskRecipe, Pool, ScreenReport
from rpmask.results import FinetuneResult
from rpmask.steps.context import Context
from rpmask.steps.requests import PAPER_SPACE, SampleRequest
from rpmask.tracking.study import Study, study_exists


@dataclass(frozen=True)
class Earlier:
    """What a pool continues: the pool of the generation before, and its race if it was raced."""

    pool: Pool | None = None
    report: ScreenReport | None = None

    @property
    def best(self) -> MaskRecipe | None:
        """The best mask found so far, unless that is the control."""
        if self.pool is None or self.report is None:
            return None
        finished = (raced for raced in self.report.candidates if raced.status == "finished")
        best = min(finished, key=lambda raced: raced.rungs[-1].value)
        return None if best.index == self.pool.control else self.pool.candidates[best.index].recipe

    @property
    def study(self) -> str | None:
        """The study that learnt from the race."""
        raced = self.report.study if self.report else None
        return raced or (self.pool.study if self.pool else None)

    @property
    def told(self) -> list[tuple[str, str, float | None]]:
        """What the race said of each candidate: recipe, how it ended, and its last value."""
        raced = self.report.candidates if self.report else ()
        return [
            (one.recipe_id, one.status, one.rungs[-1].value if one.rungs else None) for one in raced
        ]

    @property
    def generation(self) -> int:
        """Of the pool that continues it."""
        return self.pool.generation + 1 if self.pool else 1

    @property
    def centres(self) -> set[tuple[str, float]]:
        """The masks without noise that it held, or continues."""
        recipes = [candidate.recipe for candidate in self.pool.candidates] if self.pool else []
        recipes += [self.best] if self.best else []
        return {(r.importance, r.allocation) for r in recipes if r.temperature == 0}

    @property
    def looked(self) -> int:
        """Rivals of the control that were compared before."""
        return self.pool.looked + len(self.pool.candidates) - 1 if self.pool else 0


def earlier(like: str | None, context: Context) -> Earlier:
    """The pool that `--like` names, with its latest race, or the race that it names."""
    if like is None:
        return Earlier()
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
    return Earlier(pool, report)


def settled_space(request: SampleRequest, before: Earlier, context: Context) -> SampleRequest:
    """The request with the space that is drawn from: the recipe's, or that of the study it continues."""
    if request.recipe == "paper":
        return replace(request, space=PAPER_SPACE)
    if before.study is None or not study_exists(request.storage, context.folder, before.study):
        return request
    ledger = Study(request.storage, context.folder, before.study)
    return replace(request, space=ledger.agree(request.space))


def continued(request: SampleRequest, before: Earlier) -> SampleRequest:
    """The request with all that `--like` settles: a study compares losses of one problem only."""
    pool = before.pool
    if pool is None:
        return request
    if request.sparsity != pool.sparsity:
        raise RpmaskError(
            f"The pool of run '{request.like}' is at the sparsity {pool.sparsity:g}, not "
            f"{request.sparsity:g}.",
            "Losses at different sparsities cannot be compared: leave --sparsity or --like out.",
        )
    control = pool.candidates[pool.control].recipe
    return replace(
        request,
        task=pool.task,
        model=pool.model,
        start=pool.start,
        teacher=pool.teacher,
        level=pool.level,
        sparsity=pool.sparsity,
        parent_run_id=pool.parent_run_id,
        granularity=control.granularity,
        floor=control.floor,
        include=pool.include,
        exclude=pool.exclude,
        like=pool.run_id,
        data=pool.data,
    )


def inside(request: SampleRequest, finetuned: str, context: Context) -> SampleRequest:
    """The same request one level on: inside the mask of a finetune run or its version, from its weights."""
    from rpmask.tracking.registry import run_of

    tracker = context.tracker
    run_id = tracker.step_of(run_of(tracker, finetuned), "finetune")
    before = tracker.artifacts.record(run_id, "finetune.json", FinetuneResult)
    if before.mask_digest is None:
        raise RpmaskError(
            f"Run '{run_id}' trained a dense model; there is no mask to draw inside of.",
            "Name its registered version with --model instead.",
        )
    if request.sparsity <= before.sparsity:
        raise RpmaskError(
            f"The mask of run '{run_id}' drops {before.sparsity:g} already; nothing is left to draw at "
            f"{request.sparsity:g}.",
            "Give a higher --sparsity.",
        )
    model = tracker.artifacts.json(run_id, "result.json")["model"]
    return replace(
        request,
        task=before.task,
        model=before.model,
        start=f"models:/{model['name']}/{model['version']}",
        teacher=before.teacher,
        level=before.level + 1,
        parent_run_id=run_id,
        data=before.data,
    )
