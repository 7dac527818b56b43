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
from rpmask.tracking.proposing import Asked
from rpmask.tracking.study import Ledger

# The paper's public code cycles through these sampling ratios, at T = 0.2 around magnitude.
PAPER_RATIOS = (5e-5, 1e-4, 8e-5, 3e-4)
PAPER_TEMPERATURE = 0.2


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


def continued(request: SampleRequest, before: Earlier) -> SampleRequest:
    """The request with all that `--like` settles: a study compares losses of one problem only."""
    pool = before.pool
    if pool is None:
        return request
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
        like=pool.run_id,
        data=pool.data,
    )


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
