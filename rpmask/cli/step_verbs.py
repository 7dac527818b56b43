"""`rpmask sample`, `screen` and `select`: from weights to one mask, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import (
    default_model,
    finish,
    listed,
    new_context,
    search_space,
    settled_precision,
    source_run,
)
from rpmask.cli.data import DEFAULT as DEFAULT_DATA
from rpmask.cli.data import check_task, with_data
from rpmask.records import DataChoice
from rpmask.steps.requests import (
    SampleRequest,
    ScreenRequest,
    SelectRequest,
)

if TYPE_CHECKING:
    pass


SAMPLE, SCREEN, SELECT = SampleRequest(), ScreenRequest(), SelectRequest()
SPACE = SAMPLE.space


@app.command()
@with_data
def sample(
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    k: n.K = SAMPLE.k,
    sparsity: n.Sparsity = SAMPLE.sparsity,
    seed: o.Seed = SAMPLE.seed,
    recipe: n.Recipe = SAMPLE.recipe,
    temperature: n.Temperature = listed(SPACE.temperature),
    sample_ratio: n.SampleRatio = listed(SPACE.sample_ratio),
    importance: n.Importance = ",".join(SPACE.importances),
    allocation: n.Allocation = "uniform,global",
    granularity: n.Granularity = SAMPLE.granularity,
    include: n.Include = None,
    exclude: n.Exclude = None,
    calibration_rows: n.CalibrationRows = SAMPLE.calibration_rows,
    parent: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN_ID", help="Draw inside the mask of this finetune run."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Continue the study of this pool."),
    ] = None,
    sampler: n.Sampler = SAMPLE.sampler,
    storage: o.Storage = None,
    data: DataChoice = DEFAULT_DATA,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw candidate masks near good ones: candidate 0 is the magnitude mask, the control.

    Example: `rpmask sample --k 8 --sparsity 0.9375`
    """
    request = SampleRequest(
        task=task,
        model=default_model(model, task),
        sparsity=sparsity,
        k=k,
        seed=seed,
        recipe=recipe,
        space=search_space(temperature, sample_ratio, importance, allocation),
        granularity=granularity,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        calibration_rows=calibration_rows,
        sampler=sampler,
        storage=storage,
        like=like,
        data=data,
    )
    request.check()
    check_task(task, data)
    from rpmask.steps.sample import inside
    from rpmask.steps.sample import sample as draw

    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    if parent is not None:
        request = inside(request, parent, context)
    finish("sample", draw(request, context), as_json)


@app.command()
def screen(
    source: o.From = None,
    task: o.Task = "demo",
    seed: o.Seed = SCREEN.seed,
    budget: n.Budget = SCREEN.budget,
    rungs: n.Rungs = SCREEN.rungs,
    eta: n.Eta = SCREEN.eta,
    full: n.Full = False,
    examples: n.Examples = SCREEN.examples,
    batch_size: n.BatchSize = SCREEN.batch_size,
    race_rate: n.RaceRate = SCREEN.learning_rate,
    precision: o.Precision = SCREEN.precision,
    workers: o.Workers = SCREEN.workers,
    threads: o.RaceThreads = None,
    engine: o.Engine = SCREEN.engine,
    address: o.Address = None,
    cpus_per_candidate: o.CpusPerCandidate = None,
    gpus_per_candidate: o.GpusPerCandidate = SCREEN.gpus_per_candidate,
    storage: o.Storage = None,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Race the masks of a pool: same batches for all, losers stop early.

    Example: `rpmask screen --workers 2`
    """
    request = ScreenRequest(
        seed=seed,
        rungs=rungs,
        eta=eta,
        budget=budget,
        full=full,
        batch_size=batch_size,
        learning_rate=race_rate,
        examples=examples,
        precision=settled_precision(precision),
        storage=storage,
        workers=workers,
        threads=threads,
        engine=engine,
        address=address,
        cpus_per_candidate=cpus_per_candidate,
        gpus_per_candidate=gpus_per_candidate,
    )
    request.check()
    from rpmask.steps.screen import screen as race

    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    finish("screen", race(request, context, source_run(context, source, "sample", task)), as_json)


@app.command()
def select(
    source: o.From = None,
    task: o.Task = "demo",
    take: n.Take = SELECT.take,
    alpha: Annotated[float, typer.Option(help="Error rate of the comparison.")] = SELECT.alpha,
    seed: o.Seed = SELECT.seed,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Keep the winner if it beats the control by more than luck; register it as @selected.

    Example: `rpmask select`
    """
    request = SelectRequest(take=take, alpha=alpha, seed=seed)
    request.check()
    from rpmask.steps.select import select as judge

    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    finish("select", judge(request, context, source_run(context, source, "screen", task)), as_json)
