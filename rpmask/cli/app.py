"""The Typer app: one function a verb, and what happens to errors."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rpmask import __version__
from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.common import (
    default_model,
    finish,
    listed,
    new_context,
    search_space,
    settled_precision,
)
from rpmask.cli.data import DEFAULT as DEFAULT_DATA
from rpmask.cli.data import changed, check_task, with_data
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.requests import (
    PACES,
    FinetuneRequest,
    Pace,
    RunRequest,
    SampleRequest,
    ScreenRequest,
    SelectRequest,
)

if TYPE_CHECKING:
    from rpmask.steps.context import Context

app = typer.Typer(
    name="rpmask",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Draw many pruning masks, race them, keep the best with evidence, train it; all of it "
    "in MLflow.\n\nStart with `rpmask run --task demo`, then `rpmask ui`.",
)

SAMPLE, SCREEN, SELECT = SampleRequest(), ScreenRequest(), SelectRequest()
FINETUNE, RUN = FinetuneRequest(), RunRequest()
SPACE = SAMPLE.space
PACE = Pace()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rpmask {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
    finish("screen", race(request, context, _source(context, source, "sample", task)), as_json)


def _source(context: Context, given: str | None, step: str, task: str) -> str:
    """The run to continue from; said when it was not named."""
    if given is not None:
        return given
    from rpmask.tasks.glue import plain_name
    from rpmask.tasks.registry import task_names

    task = plain_name(task) if plain_name(task) in task_names() else task
    run_id = context.tracker.latest(step, task)
    context.console.say(f"Continuing from the latest {step} of '{task}': run {run_id}.")
    return run_id


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
    finish("select", judge(request, context, _source(context, source, "screen", task)), as_json)


@app.command()
@with_data
def finetune(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN_ID",
            help="A select run, or models:/NAME@selected [default: the latest select].",
            show_default=False,
        ),
    ] = None,
    task: o.Task = "demo",
    model: o.Model = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="Train --model on the task without a mask.")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(help="Model to learn from [default: the dense one].")
    ] = None,
    epochs: n.Epochs = FINETUNE.plan.epochs,
    learning_rate: n.LearningRate = FINETUNE.plan.learning_rate,
    batch_size: n.BatchSize = FINETUNE.plan.batch_size,
    evaluations: n.Evaluations = FINETUNE.plan.evaluations,
    patience: n.Patience = FINETUNE.plan.patience,
    precision: o.Precision = FINETUNE.plan.precision,
    threads: o.Threads = None,
    distill_labels: n.TermLabels = FINETUNE.plan.distill.labels,
    distill_logits: n.TermLogits = FINETUNE.plan.distill.logits,
    distill_hidden: n.TermHidden = FINETUNE.plan.distill.hidden,
    distill_attention: n.TermAttention = FINETUNE.plan.distill.attention,
    setting: n.Setting = None,
    retain: n.Retain = FINETUNE.retain,
    seed: o.Seed = FINETUNE.plan.seed,
    data: DataChoice = DEFAULT_DATA,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    force: o.Force = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train the selected mask's weights, read dev once, register the result as @champion.

    Example: `rpmask finetune --epochs 6`
    """
    _check_material(dense, source=source, teacher=teacher, model=model, data=data)
    plan = replace(
        FINETUNE.plan,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        evaluations=evaluations,
        patience=patience,
        precision=settled_precision(precision),
        seed=seed,
        distill=replace(
            FINETUNE.plan.distill,
            labels=distill_labels,
            logits=distill_logits,
            hidden=distill_hidden,
            attention=distill_attention,
        ),
        extra=_settings(setting),
    )
    FinetuneRequest(plan=plan).check()
    from rpmask.steps.context import available_cores
    from rpmask.steps.finetune import finetune as train_masked
    from rpmask.steps.finetune import finetune_dense

    plan = replace(plan, threads=threads or available_cores())
    request = FinetuneRequest(plan=plan, retain=retain, teacher=teacher)
    context = new_context(experiment, tracking_uri, force, quiet, as_json)
    if dense:
        result = finetune_dense(
            request, context, task=task, model=default_model(model, task), data=data
        )
    else:
        result = train_masked(request, context, _source(context, source, "select", task))
    finish("finetune", result, as_json)


def _check_material(
    dense: bool, *, source: str | None, teacher: str | None, model: str | None, data: DataChoice
) -> None:
    """Refuse options that the training asked for has no use for."""
    if dense:
        given = ["--from"] * (source is not None) + ["--teacher"] * (teacher is not None)
        if given:
            raise RpmaskError(
                f"{' and '.join(given)} cannot go with --dense.",
                "A dense training has no mask and no teacher; name what to train with --model.",
            )
    elif given := ["--model"] * (model is not None) + changed(data):
        raise RpmaskError(
            f"{' and '.join(given)} cannot be chosen here: a mask is trained on its own run's "
            "model and data.",
            "Give them to `rpmask sample`, or add --dense to train a model without a mask.",
        )


def _settings(given: list[str] | None) -> dict[str, Any]:
    """`--set key=value` pairs; a value is JSON if it reads as JSON, else text."""
    found: dict[str, Any] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise RpmaskError(
                f"--set '{pair}' is not KEY=VALUE.", "For example --set max_steps=100."
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


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
                extra=_settings(setting),
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


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    tracking_uri: o.TrackingUri = None,
) -> None:
    """Browse the runs: start MLflow's server on 127.0.0.1 and print the address.

    Example: `rpmask ui --port 5001`
    """
    from rpmask.tracking.server import serve_ui

    serve_ui(tracking_uri, port, lambda line: print(line, file=sys.stderr, flush=True))


@app.command()
def doctor(as_json: o.Json = False) -> None:
    """Say what works on this machine: versions, devices, what is faster, how to start MLflow.

    Example: `rpmask doctor`
    """
    from rpmask.steps.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps(findings))
        return
    from rpmask.cli.tables import show_findings

    show_findings(findings)
