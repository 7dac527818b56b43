"""`rpmask jackpot`: search a mask while the weights stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import Given, Tracking, check_task_of, default_model
from rpmask.cli.groups import NONE_GIVEN, TRACKING, among, check_task, refuse_beside, with_groups
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice
from rpmask.steps.requests import DRAWN_STARTS, JackpotRequest
from rpmask.steps.searchpaces import search_pace

if TYPE_CHECKING:
    from rpmask.steps.context import Context

DEFAULT = JackpotRequest()
PLAN = DEFAULT.plan
SEARCH = n.SEARCH
# What only a start that is drawn has a use for.
OF_DRAWN_STARTS = ("sparsity", "allocation", "include", "exclude", "calibration_rows")


@app.command()
@with_groups
def jackpot(
    start: Annotated[
        str,
        typer.Option(
            "--from",
            "--start",
            metavar="START",
            help=f"Where to begin: {', '.join(DRAWN_STARTS)}, a select, finetune or jackpot RUN_ID, "
            "RUN_ID:INDEX for a candidate of a pool, or models:/NAME@ALIAS.",
        ),
    ] = DEFAULT.start,
    task: o.Task = DEFAULT.task,
    model: o.Model = None,
    sparsity: n.Sparsity = DEFAULT.sparsity,
    allocation: Annotated[
        str,
        typer.Option(
            help="Layer-wise rates of a drawn start: global (one threshold), uniform, or a blend."
        ),
    ] = "global",
    restriction: Annotated[
        str,
        typer.Option(help="How the share of swaps falls, once an epoch: quartic, cosine or off."),
    ] = PLAN.restriction,
    norm_statistics: Annotated[
        str,
        typer.Option(
            help="What batch norms do: batch (the batch's statistics, running ones updated, as in the "
            "paper), frozen (the dense model's), or reestimated (on train, each epoch)."
        ),
    ] = PLAN.norm_statistics,
    include: n.Include = None,
    exclude: n.Exclude = None,
    calibration_rows: n.CalibrationRows = DEFAULT.calibration_rows,
    epochs: n.SearchEpochs = None,
    batch_size: n.SearchBatch = None,
    augment: n.SearchAugment = None,
    optimizer: Annotated[
        str, typer.Option(help="sgd, as in the paper, or adam.", rich_help_panel=SEARCH)
    ] = PLAN.optimizer,
    learning_rate: n.SearchRate = None,
    momentum: Annotated[
        float, typer.Option(help="Of sgd.", rich_help_panel=SEARCH)
    ] = PLAN.momentum,
    weight_decay: Annotated[
        float, typer.Option(help="Of the scores, with sgd.", rich_help_panel=SEARCH)
    ] = PLAN.weight_decay,
    threads: o.Threads = None,
    seed: o.Seed = PLAN.seed,
    data: DataChoice = DEFAULT.data,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Search a mask in frozen weights (lottery jackpots); for text and image classifiers.

    Example: `rpmask jackpot --task digits --sparsity 0.9`
    """
    from rpmask.randomized_masks.allocation import parse_allocation
    from rpmask.steps.context import available_cores

    plan = replace(
        PLAN,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        restriction=restriction,
        norm_statistics=norm_statistics,
        seed=seed,
        threads=threads or available_cores(),
    )
    own = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "augment": augment,
    }
    request = JackpotRequest(
        task=task,
        model=default_model(model, task, data, tracking) if start in DRAWN_STARTS else model,
        start=start,
        sparsity=sparsity,
        allocation=parse_allocation(allocation),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        calibration_rows=calibration_rows,
        plan=plan,
        data=data,
    )
    request.check()
    context = tracking.context()
    if start in DRAWN_STARTS:
        check_task(task, data)
    else:
        own_task, data = _held(request, context)
        refuse_beside(
            "--from a mask",
            among(given, *OF_DRAWN_STARTS, "data"),
            "the mask and its run have their own",
        )
        check_task_of(start, own_task, task, given)
        task = own_task
    request = replace(request, plan=_paced(plan, search_pace(task, data), own))
    request.check()
    from rpmask.steps.jackpot import jackpot as find

    tracking.show("jackpot", find(request, context))


def _held(request: JackpotRequest, context: Context) -> tuple[str, DataChoice]:
    """The task that a mask was made for, and its data."""
    from rpmask.steps.starts import find_origin

    origin = find_origin(request, context)
    return origin.task, origin.data


def _paced(plan: SearchPlan, pace: SearchPlan, own: dict[str, Any]) -> SearchPlan:
    """The plan with the options that were given, and the task's own values for the others."""
    names = [name for name in own if name != "learning_rate" or plan.optimizer == "sgd"]
    plan = replace(plan, **{name: getattr(pace, name) for name in names})
    return replace(plan, **{name: value for name, value in own.items() if value is not None})
