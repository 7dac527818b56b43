"""Choose the recipes of a pool: the control, the other masks without noise, and what the study proposes.

A centre is a pair of importance and allocation. The mask without noise of each centre comes before any draw
around it: the choice of the centre matters more than the noise, and the effect of the noise shows only in
comparison. A later pool brings the best mask of the one before, and the centres that no pool held yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from rpmask.randomized_masks import paper
from rpmask.records import MaskRecipe
from rpmask.steps.previous_pool import PreviousPool
from rpmask.steps.requests import SampleRequest
from rpmask.streams import generator
from rpmask.tracking.study import Study


def proposals(
    request: SampleRequest, base: MaskRecipe, study: Study, owner: str, previous: PreviousPool
) -> Iterator[tuple[MaskRecipe, int | None]]:
    """Yield the recipes of a pool, each with its trial; the control is the first."""
    stream = f"{previous.generation + 1}/" if previous.pool else ""

    def seeded(index: int, **changed: object) -> MaskRecipe:
        seed = int(generator(request.seed, "candidate", f"{stream}{index}").integers(2**31))
        return replace(base, seed=seed, **changed)  # type: ignore[arg-type]

    yield seeded(0, temperature=0.0), None
    made = 1
    if previous.best is not None and made < request.k:
        yield previous.best, None
        made += 1
    if request.recipe == "paper":
        for index in range(made, request.k):
            ratio = paper.SAMPLING_RATIOS[(index - 1) % len(paper.SAMPLING_RATIOS)]
            yield seeded(index, temperature=paper.TEMPERATURE, sample_ratio=ratio), None
        return
    # The space of a later pool was agreed on when it was resolved (`continue_pool`).
    space = request.space if previous.pool else study.agree(request.space)
    sampler_seed = int(generator(request.seed, "sampler", stream).integers(2**31))
    held = {("magnitude", 0.0), *previous.centres}
    wanted = [pair for pair in product(space.importances, space.allocations) if pair not in held]
    for importance, allocation in study.claim_centres(owner, wanted, room=request.k - made):
        yield seeded(made, temperature=0.0, importance=importance, allocation=allocation), None
        made += 1
    for nth in range(request.k - made):
        proposal = study.ask(
            space, owner=owner, nth=nth, sampler=request.sampler, seed=sampler_seed
        )
        recipe = seeded(
            made + nth,
            temperature=proposal.temperature,
            sample_ratio=proposal.sample_ratio,
            importance=proposal.importance,
            allocation=proposal.allocation,
        )
        yield recipe, proposal.trial
