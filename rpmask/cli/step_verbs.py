"""`rpmask sample`, `screen` and `select`: from weights to one mask, with evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import (
    Given,
    Tracking,
    check_task_of,
    default_model,
    settled_precision,
    source_run,
)
from rpmask.cli.groups import (
    DATA,
    NONE_GIVEN,
    RACING,
    SAMPLING,
    SETTLED,
    TRACKING,
    among,
    check_task,
    named,
    refuse_beside,
    refuse_space,
    with_groups,
)
from rpmask.records import DataChoice
from rpmask.steps.recipes import pool_size
from rpmask.steps.requests import (
    SampleRequest,
    ScreenRequest,
    SelectRequest,
)

DEMO = SampleRequest.model  # which the run that is continued replaces
SAMPLE, SCREEN, SELECT = SampleRequest(), ScreenRequest(), SelectRequest()


@app.command()
@with_groups
def sample(
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    k: n.RecipeK = None,
    sparsity: n.Sparsity = SAMPLE.sparsity,
    seed: o.Seed = SAMPLE.seed,
    recipe: n.Recipe = SAMPLE.recipe,
    sampling: SampleRequest = SAMPLING,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN_ID",
            help="Draw inside the mask of this finetune run, or of models:/NAME@champion.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Continue the study of this pool."),
    ] = None,
    storage: o.Storage = None,
    data: DataChoice = DATA,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Draw candidate masks near good ones: candidate 0 is the magnitude mask, the control.

    Example: `rpmask sample --k 8 --sparsity 0.9375`
    """
    continues = parent is not None or like is not None
    for option, run in (("--from", parent), ("--like", like)):
        if run is not None:
            refuse_beside(option, [*named(model), *among(given, "data")], SETTLED)
    if like is not None:
        refuse_beside("--like", among(given, "granularity", "include", "exclude"), SETTLED)
    request = replace(
        sampling,
        task=task,
        model=DEMO if continues else default_model(model, task, data, tracking),
        sparsity=sparsity,
        k=pool_size(k, recipe),
        seed=seed,
        recipe=recipe,
        storage=storage,
        like=like,
        data=data,
    )
    refuse_space(given, like=like, recipe=recipe)
    request.check()
    if not continues:
        check_task(task, data)
    from rpmask.steps.continuing import earlier, inside
    from rpmask.steps.sample import sample as draw

    context = tracking.context()
    if parent is not None:
        request = inside(request, parent, context)
        check_task_of(parent, request.task, task, given)
    if like is not None and (pool := earlier(like, context).pool) is not None:
        check_task_of(like, pool.task, task, given)
        if "sparsity" not in given:
            request = replace(request, sparsity=pool.sparsity)
    tracking.show("sample", draw(request, context))


@app.command()
@with_groups
def screen(
    source: o.From = None,
    task: o.Task = "demo",
    seed: o.Seed = SCREEN.seed,
    budget: n.Budget = SCREEN.budget,
    full: n.Full = False,
    examples: n.Examples = SCREEN.examples,
    batch_size: n.BatchSize = SCREEN.batch_size,
    precision: o.Precision = SCREEN.precision,
    racing: ScreenRequest = RACING,
    storage: o.Storage = None,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Race the masks of a pool: same batches for all, losers stop early.

    Example: `rpmask screen --workers 2`
    """
    request = replace(
        racing,
        seed=seed,
        budget=budget,
        full=full,
        batch_size=batch_size,
        examples=examples,
        precision=settled_precision(precision),
        storage=storage,
    )
    request.check()
    from rpmask.steps.screen import screen as race

    context = tracking.context()
    tracking.show(
        "screen", race(request, context, source_run(context, source, "sample", task, given))
    )


@app.command()
@with_groups
def select(
    source: o.From = None,
    task: o.Task = "demo",
    take: n.Take = SELECT.take,
    alpha: Annotated[float, typer.Option(help="Error rate of the comparison.")] = SELECT.alpha,
    seed: o.Seed = SELECT.seed,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Keep the winner if it beats the control by more than luck; register it as @selected.

    Example: `rpmask select`
    """
    request = SelectRequest(take=take, alpha=alpha, seed=seed)
    request.check()
    from rpmask.steps.select import select as judge

    context = tracking.context()
    tracking.show(
        "select", judge(request, context, source_run(context, source, "screen", task, given))
    )
