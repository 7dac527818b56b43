"""`rpmask tune`: generations of sampling and screening until a budget of steps is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.cli.options import Given, verb
from rpmask.cli.sample import ParentRun
from rpmask.cli.sources import (
    DATA_OPTIONS,
    HAS_ITS_OWN,
    check_task_of,
    find_model,
    refuse_with,
    resolve_precision,
)
from rpmask.cli.space import TypedSpace, fit_groups
from rpmask.cli.tracking import Tracking
from rpmask.steps.requests import TuneRequest


@verb(skip=("recipe", "like", "full"))
def tune(
    request: TuneRequest,
    parent: ParentRun,
    space: TypedSpace,
    tracking: Tracking,
    given: Given,
) -> dict[str, Any]:
    """Tune the sampling: draw, race, learn, and draw again until the step budget is used up.

    Example: `rpmask tune --steps 1000 --k 8`
    """
    sampling = fit_groups(replace(request.sample, space=space.parsed()), given)
    racing = replace(request.screen, precision=resolve_precision(request.screen.precision))
    replace(request, sample=sampling, screen=racing).check()
    if parent.run is not None:
        refuse_with("--from", given, ["model", *DATA_OPTIONS], HAS_ITS_OWN)
    else:
        model = find_model(sampling.task, sampling.data, given, tracking)
        sampling = replace(sampling, model=model)
    from rpmask.steps.previous_pool import next_level
    from rpmask.steps.tune import tune as search

    context = tracking.context()
    if parent.run is not None:
        sampling = next_level(sampling, parent.run, context)
        check_task_of(parent.run, sampling.task, given)
    request = replace(request, sample=sampling, screen=racing)
    if tracking.plan:
        from rpmask.steps.plans import plan_tune

        return plan_tune(request, context).answer()
    return search(request, context)
