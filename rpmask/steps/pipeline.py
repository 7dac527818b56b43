"""`run`: the whole pipeline, level by level, under one parent run.

It trains the dense model if the given one has no head for the task, and in the public recipe distils it for
an epoch. Then each level samples, screens, selects and finetunes, from the weights of the previous level and
inside its mask. Finished steps are reused, so the same command continues after any interruption.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rpmask.masks.granularity import at_sparsity
from rpmask.results import FinetuneResult
from rpmask.steps.context import Context
from rpmask.steps.dense_model import dense_first, dense_training
from rpmask.steps.finetune import finetune, finetune_dense
from rpmask.steps.frame import Done, Step, address, run_step
from rpmask.steps.generations import generations
from rpmask.steps.inputs import load_data, read_as, source_digest
from rpmask.steps.race_engine import deciding
from rpmask.steps.requests import FinetuneRequest, RunRequest
from rpmask.steps.select import select
from rpmask.train.plan import TrainPlan
from rpmask.words import counted, percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun


def run_levels(request: RunRequest, context: Context) -> dict[str, Any]:
    """Run every level."""
    from rpmask.tracking.registry import champion_address, check_dense, pin

    first = request.sample
    data = load_data(first.task, first.data)
    spec = data.spec
    pinned = pin(context.tracker, first.model)
    check_dense(context.tracker, pinned)
    step = Step(
        name="run",
        title=f"run {spec.name} to {percent(request.sparsity)}",
        task=spec.name,
        level=len(request.levels),
        sparsity=request.sparsity,
        inputs={
            "model": source_digest(context.tracker, pinned),
            "data": read_as(data, first.data),
        },
        decides={**request.to_dict(), "screen": deciding(request.screen)},
        params={
            "task": spec.name,
            "levels": ",".join(f"{level:g}" for level in request.levels),
            **first.pick("model", "k", "seed", "recipe"),
            "generations": request.generations,
        },
    )

    def work(run: StepRun) -> Done:
        done = walk(request, context.under(run.run_id))
        note = _log(run, done["levels"])
        return Done({**done, "champion": champion_address(context.tracker, spec.name)}, note)

    return run_step(step, context, work)


def walk(request: RunRequest, context: Context) -> dict[str, Any]:
    """Run the steps of the pipeline, one after the other."""
    teacher, dense = dense_first(request.sample, dense_training(request), context)
    start, parent, distilled = teacher, None, None
    if request.distilled_epochs:
        context.console.say("Training the dense model by its own answers before the levels.")
        distilled = _distilled(request, context, teacher)
        start = address(distilled["model"])
    done: list[dict[str, Any]] = []
    for number, sparsity in enumerate(request.levels, start=1):
        done.append(_level(request, context, number, sparsity, start, teacher, parent))
        trained = done[-1]["finetune"]
        start, parent = address(trained["model"]), trained["run_id"]
    return {"dense": dense, "distilled": distilled, "levels": done}


def distilling(request: RunRequest) -> TrainPlan:
    """How the dense model is trained by its own answers."""
    return replace(
        request.finetune.plan, epochs=request.distilled_epochs, schedule=request.level_schedule
    )


def training_at(request: RunRequest, level: int) -> FinetuneRequest:
    """How the mask of a level is trained; levels begin with 1."""
    training = request.finetune
    if level == len(request.levels):
        return training
    plan = replace(
        training.plan, epochs=request.level_epochs, schedule=request.level_schedule, tighten=None
    )
    return replace(training, plan=plan)


def _distilled(request: RunRequest, context: Context, teacher: str) -> dict[str, Any]:
    """Train the public recipe's dense epoch: like a level, without a mask."""
    first = request.sample
    return finetune_dense(
        replace(request.finetune, plan=distilling(request)),
        context,
        task=first.task,
        model=first.model,
        data=first.data,
        teacher=teacher,
    )


def _level(
    request: RunRequest,
    context: Context,
    number: int,
    sparsity: float,
    start: str,
    teacher: str,
    parent: str | None,
) -> dict[str, Any]:
    context.console.say(f"Level {number} of {len(request.levels)}: {percent(sparsity)}")
    sampling = replace(
        request.sample,
        sparsity=sparsity,
        granularity=at_sparsity(request.sample.granularity, sparsity),
        level=number,
        start=start,
        teacher=teacher,
        parent_run_id=parent,
    )
    searched = generations(sampling, request.screen, context, request.generations)
    last = searched[-1]
    chosen = select(request.select, context, last["screen"]["run_id"])
    trained = finetune(training_at(request, number), context, chosen["run_id"])
    return {
        "sparsity": sparsity,
        **last,
        "generations": searched,
        "select": chosen,
        "finetune": trained,
    }


def _log(run: StepRun, levels: list[dict[str, Any]]) -> str:
    """Log the curves and the chart of the levels; return the run's description."""
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    records = run.tracker.artifacts
    results = [
        records.record(level["finetune"]["run_id"], "finetune.json", FinetuneResult)
        for level in levels
    ]
    note = _note(results, levels)
    chart = Chart("levels", "From dense to sparse, on dev.", charts.levels(results))
    run.log_charts([chart], intro=note)
    for result in results:
        run.metric(f"dev/{result.primary}", result.dev[result.primary], result.level)
        run.metric("retention", result.retention, result.level)
        run.metric("sparsity", result.sparsity, result.level)
    return note


def _note(results: list[FinetuneResult], levels: list[dict[str, Any]]) -> str:
    rows = [
        f"| {percent(r.sparsity)} | {r.dense[r.primary]:.4f} | {r.dev[r.primary]:.4f} | "
        f"{r.retention:.1%} | {level['select']['verdict']} |"
        for r, level in zip(results, levels, strict=True)
    ]
    return "\n".join(
        [
            f"**{results[-1].task}, {counted(len(levels), 'level')} to {percent(results[-1].sparsity)}.**",
            "",
            f"| sparsity | dense {results[-1].primary} | sparse | retention | selection |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Registered: `{address(levels[-1]['finetune']['model'])}`.",
        ]
    )
