"""`rpmask sample`: draw a pool of candidate masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rpmask.cli.options import Given, verb
from rpmask.cli.sources import (
    DATA_OPTIONS,
    HAS_ITS_OWN,
    check_task_of,
    find_model,
    refuse_with,
)
from rpmask.cli.space import TypedSpace, fit_groups, refuse_space
from rpmask.cli.tracking import Tracking
from rpmask.randomized_masks import paper
from rpmask.settings import setting
from rpmask.steps.defaults import starting_point
from rpmask.steps.requests import SampleRequest


@dataclass(frozen=True)
class ParentRun:
    """The training whose mask holds the masks that are drawn."""

    run: str | None = setting(
        None,
        "Draw inside the mask of this finetune run, or of models:/NAME@champion",
        "--from",
        metavar="RUN_ID",
    )


@verb(
    skip=("plan", "system_metrics"),
    defaults={"with --recipe paper": SampleRequest(k=paper.CANDIDATES)},
)
def sample(
    request: SampleRequest,
    parent: ParentRun,
    space: TypedSpace,
    tracking: Tracking,
    given: Given,
) -> dict[str, Any]:
    """Draw candidate masks around deterministic ones; candidate 0 is the magnitude mask, the control.

    Example: `rpmask sample --k 8 --sparsity 0.9375`
    """
    for option, run in (("--from", parent.run), ("--like", request.like)):
        if run is not None:
            refuse_with(option, given, ["model", *DATA_OPTIONS], HAS_ITS_OWN)
    if request.like is not None:
        refuse_with("--like", given, ["granularity", "include", "exclude", "substeps"], HAS_ITS_OWN)
    refuse_space(given, like=request.like, recipe=request.recipe)
    pool_size = starting_point(request.recipe, request.task).sample.k
    request = replace(request, space=space.parsed(), k=given.get("k", pool_size))
    request = fit_groups(request, given)
    request.check()
    if parent.run is None and request.like is None:
        model = find_model(request.task, request.data, given, tracking)
        request = replace(request, model=model)
    from rpmask.steps.previous_pool import find_previous, next_level
    from rpmask.steps.sample import sample as draw

    context = tracking.context()
    if parent.run is not None:
        request = next_level(request, parent.run, context)
        check_task_of(parent.run, request.task, given)
    previous = find_previous(request.like, context)
    if request.like is not None and (pool := previous.pool) is not None:
        check_task_of(request.like, pool.task, given)
        if "sparsity" not in given:
            request = replace(request, sparsity=pool.sparsity)
    return draw(request, context, previous)
