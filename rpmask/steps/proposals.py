"""Which recipes a pool holds: the control, the other deterministic centres, and what the study proposes.

The mask without noise of every centre (importance, allocation) that may be drawn around comes before any
draw: which centre it is decides more than the noise around it, and what the noise adds can only be told
beside it. A later generation brings the best of the one before, and those centres that no pool held yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from rpmask.errors import RpmaskError
from rpmask.learn.batches import generator
from rpmask.records import MaskRecipe, Pool, ScreenReport
from rpmask.steps.context import Context
from rpmask.steps.requests import SampleRequest
from rpmask.tracking.study import Asked, Ledger

# The paper's public code cycles through these sampling ratios, at T = 0.2 around magnitude.
PAPER_RATIOS = (5e-5, 1e-4, 8e-5, 3e-4)
PAPER_TEMPERATURE = 0.2


@dataclass(frozen=True)
class Earlier:
    """What a pool continues: the pool of the generation before, and the best mask found so far."""

    pool: Pool | None = None
    best: MaskRecipe | None = None

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


def continued(request: SampleRequest, context: Context) -> SampleRequest:
    """The request with all that `--like` settles: a study compares losses of one problem only."""
    if request.like is None:
        return request
    tracker = context.tracker
    pool = tracker.artifacts.record(tracker.step_of(request.like, "sample"), "pool.json", Pool)
    if pool.study is None:
        raise RpmaskError(f"Run '{request.like}' has no study.", "Name another pool.")
    if request.sparsity not in (pool.sparsity, SampleRequest.sparsity):
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
        data=pool.data,
    )


def earlier(request: SampleRequest, context: Context) -> Earlier:
    """The pool that `--like` names, and the winner of its screening if there was one."""
    if request.like is None:
        return Earlier()
    tracker = context.tracker
    pool = tracker.artifacts.record(request.like, "pool.json", Pool)
    for run in tracker.find(step="screen", pool=request.like):
        if run.info.status == "FINISHED":
            report = tracker.artifacts.record(run.info.run_id, "screen.json", ScreenReport)
            best = min(
                (raced for raced in report.candidates if raced.status == "finished"),
                key=lambda raced: raced.rungs[-1].value,
            )
            return Earlier(
                pool, None if best.index == pool.control else pool.candidates[best.index].recipe
            )
    return Earlier(pool)


def proposals(
    request: SampleRequest, base: MaskRecipe, ledger: Ledger, owner: str, before: Earlier
) -> Iterator[tuple[MaskRecipe, int | None]]:
    """The recipes of a pool, each with its trial; the control is the first."""
    stream = f"{before.generation}/" if before.pool else ""

    def seeded(recipe: MaskRecipe, index: int) -> MaskRecipe:
        seed = int(generator(request.seed, "candidate", f"{stream}{index}").integers(2**31))
        return replace(recipe, seed=seed)

    yield seeded(replace(base, temperature=0.0), 0), None
    made = 1
    if before.best is not None and made < request.k:
        yield before.best, None
        made += 1
    if request.recipe == "paper":
        for index in range(made, request.k):
            ratio = PAPER_RATIOS[(index - 1) % len(PAPER_RATIOS)]
            recipe = replace(base, temperature=PAPER_TEMPERATURE, sample_ratio=ratio)
            yield seeded(recipe, index), None
        return
    space = ledger.agree(request.space)
    sampler_seed = int(generator(request.seed, "sampler", stream).integers(2**31))
    held = {("magnitude", 0.0), *before.centres}
    wanted = [pair for pair in product(space.importances, space.allocations) if pair not in held]
    centres = ledger.claim_centres(owner, wanted, room=request.k - made)
    for pair in centres:
        yield seeded(_centre(base, *pair), made), None
        made += 1
    for nth in range(request.k - made):
        asked = ledger.ask(space, owner=owner, nth=nth, sampler=request.sampler, seed=sampler_seed)
        yield seeded(_noisy(base, asked), made + nth), asked.trial


def _centre(base: MaskRecipe, importance: str, allocation: float) -> MaskRecipe:
    return replace(base, temperature=0.0, importance=importance, allocation=allocation)


def _noisy(base: MaskRecipe, asked: Asked) -> MaskRecipe:
    return replace(
        base,
        temperature=asked.temperature,
        sample_ratio=asked.sample_ratio,
        importance=asked.importance,
        allocation=asked.allocation,
    )
