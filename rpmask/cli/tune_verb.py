"""`rpmask tune`: generations of sampling and screening until a budget of steps is spent."""

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
    with_groups,
)
from rpmask.records import DataChoice
from rpmask.steps.requests import SampleRequest, ScreenRequest, TuneRequest

DEFAULT = TuneRequest()
SAMPLE, SCREEN = DEFAULT.sample, DEFAULT.screen


@app.command()
@with_groups
def tune(
    steps: Annotated[
        int,
        typer.Option(
            help="Training steps that all the races together may take; one race is always run."
        ),
    ] = DEFAULT.steps,
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    k: n.K = SAMPLE.k,
    sparsity: n.Sparsity = SAMPLE.sparsity,
    seed: o.Seed = SAMPLE.seed,
    sampling: SampleRequest = SAMPLING,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN_ID",
            help="Draw inside the mask of this finetune run, or of models:/NAME@champion.",
        ),
    ] = None,
    storage: o.Storage = None,
    budget: n.Budget = SCREEN.budget,
    examples: n.Examples = SCREEN.examples,
    batch_size: n.BatchSize = SCREEN.batch_size,
    precision: o.Precision = SCREEN.precision,
    racing: ScreenRequest = RACING,
    data: DataChoice = DATA,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Tune the sampling: draw, race, learn, draw again, until the steps are spent.

    Example: `rpmask tune --steps 1000 --k 8`
    """
    sampling = replace(
        sampling,
        task=task,
        model=SAMPLE.model if parent else default_model(model, task, data, tracking),
        sparsity=sparsity,
        k=k,
        seed=seed,
        storage=storage,
        data=data,
    )
    racing = replace(
        racing,
        seed=seed,
        budget=budget,
        batch_size=batch_size,
        examples=examples,
        precision=settled_precision(precision),
        storage=storage,
    )
    request = TuneRequest(steps=steps, sample=sampling, screen=racing)
    request.check()
    if parent is not None:
        refuse_beside("--from", [*named(model), *among(given, "data")], SETTLED)
    else:
        check_task(task, data)
    from rpmask.steps.continuing import inside
    from rpmask.steps.tune import tune as search

    context = tracking.context()
    if parent is not None:
        request = TuneRequest(steps, inside(sampling, parent, context), racing)
        check_task_of(parent, request.sample.task, task, given)
    tracking.show("tune", search(request, context))
