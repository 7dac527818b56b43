"""`rpmask jackpot`: search for a mask while the weights stay frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rpmask.cli.options import Given, fill, verb
from rpmask.cli.sources import DATA_OPTIONS, check_task_of, find_model, refuse_with
from rpmask.cli.tracking import Tracking
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice
from rpmask.settings import setting
from rpmask.steps.jackpot_request import (
    DRAWN_STARTS,
    TASK_SEARCHES,
    TEXT_SEARCH,
    JackpotRequest,
    task_search,
)

# Options for a start that is drawn; a mask that exists has its own values.
OF_DRAWN_STARTS = ["sparsity", "allocation", "include", "exclude", "calibration_rows"]
SEARCHES = {**TASK_SEARCHES, "texts": TEXT_SEARCH}


@dataclass(frozen=True)
class DrawnStart:
    """What is typed about a start that is drawn."""

    allocation: str = setting(
        "global",
        "Sparsity of each layer in a drawn start: global (one threshold), uniform, row, owl, or a blend",
    )


@verb(defaults={f"for {task}": JackpotRequest(plan=plan) for task, plan in SEARCHES.items()})
def jackpot(
    request: JackpotRequest,
    drawn: DrawnStart,
    tracking: Tracking,
    given: Given,
) -> dict[str, Any]:
    """Search for a mask while all weights stay as they are (lottery jackpots).

    Example: `rpmask jackpot --task digits --sparsity 0.9`
    """
    from rpmask.randomized_masks.allocation import parse_allocation
    from rpmask.steps.context import available_cores

    request = replace(request, allocation=parse_allocation(drawn.allocation))
    request.check()
    context = tracking.context()
    if request.start in DRAWN_STARTS:
        task, data = request.task, request.data
        request = replace(request, model=find_model(task, data, given, tracking))
    else:
        from rpmask.steps.jackpot_start import find_start

        start = find_start(request, context)
        task, data = start.task, start.data
        why = "the mask and its run have their own"
        refuse_with("--from a mask", given, [*OF_DRAWN_STARTS, *DATA_OPTIONS], why)
        check_task_of(request.start, task, given)
    plan = replace(
        search_plan(task, data, given), threads=given.get("threads") or available_cores()
    )
    request = replace(request, task=task, data=data, plan=plan)
    request.check()
    from rpmask.steps.jackpot import jackpot as search

    if tracking.plan:
        from rpmask.steps.plans import plan_jackpot

        return plan_jackpot(request, context).answer()
    return search(request, context)


def search_plan(task: str, data: DataChoice, given: Given) -> SearchPlan:
    """The plan with the options that were given, and the task's defaults for the others."""
    plan = task_search(task, data)
    if given.get("optimizer", plan.optimizer) != "sgd":
        plan = replace(plan, learning_rate=SearchPlan.learning_rate)  # a task's rate is for sgd
    return fill(plan, given)
