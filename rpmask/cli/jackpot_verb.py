"""`rpmask jackpot`: search a mask while the weights stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import default_model, finish, new_context
from rpmask.cli.data import check_task, with_data
from rpmask.records import DataChoice
from rpmask.steps.requests import DRAWN_STARTS, JackpotRequest

DEFAULT = JackpotRequest()
PLAN = DEFAULT.plan
SEARCH = "Search"


@app.command()
@with_data
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
        typer.Option(help="How the share of swaps falls: quartic, cosine or off."),
    ] = PLAN.restriction,
    norm_statistics: Annotated[
        str,
        typer.Option(help="Batch norms' running statistics: frozen, or reestimated on train."),
    ] = PLAN.norm_statistics,
    include: n.Include = None,
    exclude: n.Exclude = None,
    calibration_rows: n.CalibrationRows = DEFAULT.calibration_rows,
    epochs: Annotated[int, typer.Option(help="Epochs.", rich_help_panel=SEARCH)] = PLAN.epochs,
    batch_size: Annotated[
        int, typer.Option(help="Rows a step.", rich_help_panel=SEARCH)
    ] = PLAN.batch_size,
    optimizer: Annotated[
        str, typer.Option(help="sgd, as in the paper, or adam.", rich_help_panel=SEARCH)
    ] = PLAN.optimizer,
    learning_rate: Annotated[
        float,
        typer.Option(help="Of the scores; falls by a cosine.", rich_help_panel=SEARCH),
    ] = PLAN.learning_rate,
    momentum: Annotated[
        float, typer.Option(help="Of sgd.", rich_help_panel=SEARCH)
    ] = PLAN.momentum,
    weight_decay: Annotated[
        float, typer.Option(help="Of the scores, with sgd.", rich_help_panel=SEARCH)
    ] = PLAN.weight_decay,
    threads: o.Threads = None,
    seed: o.Seed = PLAN.seed,
    data: DataChoice = DEFAULT.data,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Search a mask in frozen weights (lottery jackpots); for text and image classifiers.

    Example: `rpmask jackpot --task digits --sparsity 0.9`
    """
    from rpmask.masks.allocation import parse_allocation
    from rpmask.steps.context import available_cores

    plan = replace(
        PLAN,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        restriction=restriction,
        norm_statistics=norm_statistics,
        seed=seed,
        threads=threads or available_cores(),
    )
    request = JackpotRequest(
        task=task,
        model=default_model(model, task) if start in DRAWN_STARTS else model,
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
    if start in DRAWN_STARTS:
        check_task(task, data)
    from rpmask.steps.jackpot import jackpot as find

    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    finish("jackpot", find(request, context), as_json)
