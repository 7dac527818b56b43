"""`rpmask run`: the whole road, level by level."""

from __future__ import annotations

from dataclasses import replace
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
    settings,
    settled_precision,
)
from rpmask.cli.data import DEFAULT as DEFAULT_DATA
from rpmask.cli.data import check_task, with_data
from rpmask.records import DataChoice
from rpmask.steps.requests import (
    PACES,
    Pace,
    RunRequest,
    SampleRequest,
)

if TYPE_CHECKING:
    pass


RUN, PACE = RunRequest(), Pace()
SAMPLE, SCREEN, SELECT, FINETUNE = RUN.sample, RUN.screen, RUN.select, RUN.finetune
SPACE = SAMPLE.space


@app.command()
@with_data
def run(
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    levels: n.Levels = None,
    one_shot: Annotated[
        bool, typer.Option("--one-shot", help="One level, straight to --sparsity.")
    ] = False,
    sparsity: n.LastSparsity = None,
    k: n.K = SAMPLE.k,
    recipe: n.Recipe = SAMPLE.recipe,
    seed: o.Seed = SAMPLE.seed,
    temperature: n.Temperature = listed(SPACE.temperature),
    sample_ratio: n.SampleRatio = listed(SPACE.sample_ratio),
    importance: n.Importance = ",".join(SPACE.importances),
    allocation: n.Allocation = "uniform,global",
    granularity: n.Granularity = SAMPLE.granularity,
    include: n.Include = None,
    exclude: n.Exclude = None,
    sampler: n.Sampler = SAMPLE.sampler,
    generations: n.Generations = RUN.generations,
    storage: o.Storage = None,
    budget: n.RunBudget = None,
    rungs: n.Rungs = SCREEN.rungs,
    eta: n.Eta = SCREEN.eta,
    full: n.Full = False,
    examples: n.RunExamples = None,
    workers: o.Workers = SCREEN.workers,
    threads: o.RaceThreads = None,
    engine: o.Engine = SCREEN.engine,
    address: o.Address = None,
    cpus_per_candidate: o.CpusPerCandidate = None,
    gpus_per_candidate: o.GpusPerCandidate = SCREEN.gpus_per_candidate,
    take: n.Take = SELECT.take,
    epochs: n.RunEpochs = None,
    level_epochs: n.LevelEpochs = None,
    dense_epochs: Annotated[
        float,
        typer.Option(help="Epochs of the dense model, if needed.", rich_help_panel=o.TRAINING),
    ] = RUN.dense_epochs,
    learning_rate: n.LearningRate = FINETUNE.plan.learning_rate,
    batch_size: n.BatchSize = FINETUNE.plan.batch_size,
    precision: o.Precision = FINETUNE.plan.precision,
    setting: n.Setting = None,
    retain: n.Retain = FINETUNE.retain,
    data: DataChoice = DEFAULT_DATA,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Walk the whole road, level by level; the same command continues after an interruption.

    Example: `rpmask run --task rte --model bert-base-uncased`
    """
    pace = PACES.get(task, PACE)
    precision = settled_precision(precision)  # once: a trial may come out otherwise the next time
    request = RunRequest(
        levels=_road(levels, sparsity, one_shot),
        generations=generations,
        sample=SampleRequest(
            task=task,
            model=default_model(model, task),
            k=k,
            seed=seed,
            recipe=recipe,
            space=search_space(temperature, sample_ratio, importance, allocation),
            granularity=granularity,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            sampler=sampler,
            storage=storage,
            data=data,
        ),
        screen=replace(
            SCREEN,
            seed=seed,
            budget=pace.budget if budget is None else budget,
            rungs=rungs,
            eta=eta,
            full=full,
            examples=pace.examples if examples is None else examples,
            batch_size=batch_size,
            # The race scales no losses, which fp16 needs.
            precision="fp32" if precision == "fp16" else precision,
            storage=storage,
            workers=workers,
            threads=threads,
            engine=engine,
            address=address,
            cpus_per_candidate=cpus_per_candidate,
            gpus_per_candidate=gpus_per_candidate,
        ),
        select=replace(SELECT, take=take, seed=seed),
        finetune=replace(
            FINETUNE,
            plan=replace(
                FINETUNE.plan,
                epochs=pace.epochs if epochs is None else epochs,
                learning_rate=learning_rate,
                batch_size=batch_size,
                precision=precision,
                seed=seed,
                extra=settings(setting),
            ),
            retain=retain,
        ),
        level_epochs=pace.level_epochs if level_epochs is None else level_epochs,
        dense_epochs=dense_epochs,
    )
    request.check()
    check_task(task, data)
    from rpmask.steps.context import available_cores
    from rpmask.steps.pipeline import as_paper, run_levels

    plan = replace(request.finetune.plan, threads=threads or available_cores())
    request = replace(request, finetune=replace(request.finetune, plan=plan))
    if recipe == "paper":
        request = as_paper(request)
    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    finish("run", run_levels(request, context), as_json)


def _road(levels: str | None, sparsity: float | None, one_shot: bool) -> tuple[float, ...]:
    """The levels asked for: a list, a schedule, or the paper's as far as the sparsity wanted."""
    from rpmask.masks.schedule import check_levels, parse_levels

    if levels is not None:
        return parse_levels(levels, sparsity)
    last = RUN.levels[-1] if sparsity is None else sparsity
    before = () if one_shot else tuple(level for level in RUN.levels if level < last)
    return check_levels((*before, last))
