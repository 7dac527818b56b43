"""`rpmask tune`: generations of sampling and screening until a budget of steps is spent."""

from __future__ import annotations

from typing import Annotated

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
)
from rpmask.cli.data import DEFAULT as DEFAULT_DATA
from rpmask.cli.data import check_task, with_data
from rpmask.records import DataChoice
from rpmask.steps.requests import SampleRequest, ScreenRequest, TuneRequest

DEFAULT = TuneRequest()
SAMPLE, SCREEN, SPACE = DEFAULT.sample, DEFAULT.screen, DEFAULT.sample.space


@app.command()
@with_data
def tune(
    steps: Annotated[
        int, typer.Option(help="Training steps that all the races together may take.")
    ] = DEFAULT.steps,
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    k: n.K = SAMPLE.k,
    sparsity: n.Sparsity = SAMPLE.sparsity,
    seed: o.Seed = SAMPLE.seed,
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
    sampler: n.Sampler = SAMPLE.sampler,
    storage: o.Storage = None,
    budget: n.Budget = SCREEN.budget,
    rungs: n.Rungs = SCREEN.rungs,
    eta: n.Eta = SCREEN.eta,
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
    data: DataChoice = DEFAULT_DATA,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Tune the sampling: draw, race, learn, draw again, until the steps are spent.

    Example: `rpmask tune --steps 1000 --k 8`
    """
    sampling = SampleRequest(
        task=task,
        model=default_model(model, task),
        sparsity=sparsity,
        k=k,
        seed=seed,
        space=search_space(temperature, sample_ratio, importance, allocation),
        granularity=granularity,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        calibration_rows=calibration_rows,
        sampler=sampler,
        storage=storage,
        data=data,
    )
    racing = ScreenRequest(
        seed=seed,
        rungs=rungs,
        eta=eta,
        budget=budget,
        batch_size=batch_size,
        learning_rate=race_rate,
        examples=examples,
        precision=settled_precision(precision),
        workers=workers,
        threads=threads,
        engine=engine,
        address=address,
        cpus_per_candidate=cpus_per_candidate,
        gpus_per_candidate=gpus_per_candidate,
        storage=storage,
    )
    request = TuneRequest(steps=steps, sample=sampling, screen=racing)
    request.check()
    check_task(task, data)
    from rpmask.steps.sample import inside
    from rpmask.steps.tune import tune as search

    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    if parent is not None:
        request = TuneRequest(steps, inside(sampling, parent, context), racing)
    finish("tune", search(request, context), as_json)
