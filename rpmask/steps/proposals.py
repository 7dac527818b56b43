"""Which recipes a pool holds: the control, the other deterministic centres, and what the study proposes.

The mask without noise of every centre (importance, allocation) that may be drawn around comes before any
draw: which centre it is decides more than the noise around it, and what the noise adds can only be told
beside it. A later generation brings the best of the one before, and those centres that no pool held yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from rpmask.randomized_masks import paper
from rpmask.records import MaskRecipe
from rpmask.steps.continuing import Earlier
from rpmask.steps.requests import SampleRequest
from rpmask.streams import generator
from rpmask.tracking.proposing import Proposal
from rpmask.tracking.study import Study


def proposals(
    request: SampleRequest, base: MaskRecipe, ledger: Study, owner: str, before: Earlier
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
            ratio = paper.SAMPLING_RATIOS[(index - 1) % len(paper.SAMPLING_RATIOS)]
            recipe = replace(base, temperature=paper.TEMPERATURE, sample_ratio=ratio)
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


def _noisy(base: MaskRecipe, asked: Proposal) -> MaskRecipe:
    return replace(
        base,
        temperature=asked.temperature,
        sample_ratio=asked.sample_ratio,
        importance=asked.importance,
        allocation=asked.allocation,
    )
