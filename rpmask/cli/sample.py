"""`rpmask sample`: draw a pool of candidate masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from rpmask.cli.options import Given, verb
from rpmask.cli.sources import (
    DATA_OPTIONS,
    HAS_ITS_OWN,
    check_task_of,
    find_model,
    refuse_with,
)
from rpmask.cli.space import TypedSpace, refuse_space
from rpmask.cli.tracking import Tracking
from rpmask.randomized_masks import paper
from rpmask.steps.defaults import starting_point
from rpmask.steps.requests import SampleRequest

Parent = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN_ID",
        help="Draw inside the mask of this finetune run, or of models:/NAME@champion.",
    ),
]


@verb(defaults={"with --recipe paper": SampleRequest(k=paper.CANDIDATES)})
def sample(
    request: SampleRequest,
    space: TypedSpace,
    tracking: Tracking,
    given: Given,
    parent: Parent = None,
) -> None:
    """Draw candidate masks near good ones; candidate 0 is the magnitude mask, the control.

    Example: `rpmask sample --k 8 --sparsity 0.9375`
    """
    for option, run in (("--from", parent), ("--like", request.like)):
        if run is not None:
            refuse_with(option, given, ["model", *DATA_OPTIONS], HAS_ITS_OWN)
    if request.like is not None:
        refuse_with("--like", given, ["granularity", "include", "exclude", "substeps"], HAS_ITS_OWN)
    refuse_space(given, like=request.like, recipe=request.recipe)
    pool_size = starting_point(request.recipe, request.task).sample.k
    request = replace(request, space=space.parsed(), k=given.get("k", pool_size))
    request.check()
    if parent is None and request.like is None:
        model = find_model(request.task, request.data, given, tracking)
        request = replace(request, model=model)
    from rpmask.steps.previous_pool import find_previous, next_level
    from rpmask.steps.sample import sample as draw

    context = tracking.context()
    if parent is not None:
        request = next_level(request, parent, context)
        check_task_of(parent, request.task, given)
    previous = find_previous(request.like, context)
    if request.like is not None and (pool := previous.pool) is not None:
        check_task_of(request.like, pool.task, given)
        if "sparsity" not in given:
            request = replace(request, sparsity=pool.sparsity)
    tracking.show("sample", draw(request, context, previous))
