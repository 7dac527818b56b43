"""`run`: the whole road, level by level, under one parent run.

Dense model if the given one has no head for the task; in the public recipe an epoch of distillation without
a mask; then at each sparsity sample, screen, select and finetune, each level starting from the weights the
last one trained, inside the last one's mask. Every step that finished before is used again, so the
same command continues after any interruption.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.results import FinetuneResult
from rpmask.steps.context import Context
from rpmask.steps.decides import step_digest
from rpmask.steps.densemodel import address, dense_first, dense_training
from rpmask.steps.engines import deciding
from rpmask.steps.finetune import finetune, finetune_dense
from rpmask.steps.inputs import load_data, read_as, source_digest
from rpmask.steps.requests import RunRequest
from rpmask.steps.search import generations
from rpmask.steps.select import select
from rpmask.words import percent


def run_levels(request: RunRequest, context: Context) -> dict[str, Any]:
    """Every level of the road."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import champion_address, check_dense, pin
    from rpmask.tracking.runs import StepKey

    first = request.sample
    data = load_data(first.task, first.data)
    spec = data.spec
    pinned = pin(context.tracker, first.model)
    check_dense(context.tracker, pinned)
    inputs = {"model": source_digest(context.tracker, pinned), "data": read_as(data, first.data)}
    levels = ",".join(f"{level:g}" for level in request.levels)
    step_key = StepKey(
        step="run",
        key=step_digest("run", inputs, {**request.to_dict(), "screen": deciding(request.screen)}),
        name=f"run {spec.name} to {percent(request.levels[-1])}",
        task=spec.name,
        level=len(request.levels),
        sparsity=request.levels[-1],
        params={
            "task": spec.name,
            "model": first.model,
            "levels": levels,
            "k": first.k,
            "seed": first.seed,
            "recipe": first.recipe,
            "generations": request.generations,
        },
        tags={},
    )
    with open_run(context.tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This road was walked before: run {run.run_id}.")
            return run.result()
        inner = context.under(run.run_id)
        teacher, dense = dense_first(first, dense_training(request), inner)
        done: list[dict[str, Any]] = []
        start, parent, distilled = teacher, None, None
        if request.distilled_epochs:
            context.console.say("Training the dense model by its own answers before the levels.")
            distilled = _distilled(request, inner, teacher)
            start = address(distilled)
        for number, sparsity in enumerate(request.levels, start=1):
            level = _level(request, inner, number, sparsity, start, teacher, parent)
            done.append(level)
            start, parent = address(level["finetune"]), level["finetune"]["run_id"]
        results = [
            context.tracker.artifacts.record(
                level["finetune"]["run_id"], "finetune.json", FinetuneResult
            )
            for level in done
        ]
        from rpmask import charts
        from rpmask.tracking.runs import Chart

        drawn = Chart("levels", "From dense to sparse, on dev.", charts.levels(results))
        run.log_charts([drawn], intro=_note(results, done))
        for result in results:
            run.metric(f"dev/{result.primary}", result.dev[result.primary], result.level)
            run.metric("retention", result.retention, result.level)
            run.metric("sparsity", result.sparsity, result.level)
        return run.finish(
            {
                "dense": dense,
                "distilled": distilled,
                "levels": done,
                "champion": champion_address(context.tracker, spec.name),
            },
            _note(results, done),
        )


def _distilled(request: RunRequest, context: Context, teacher: str) -> dict[str, Any]:
    """The public recipe's dense epoch: as a level is trained, without a mask."""
    plan = replace(
        request.finetune.plan, epochs=request.distilled_epochs, schedule=request.level_schedule
    )
    first = request.sample
    return finetune_dense(
        replace(request.finetune, plan=plan),
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
        level=number,
        start=start,
        teacher=teacher,
        parent_run_id=parent,
    )
    searched = generations(sampling, request.screen, context, request.generations)
    last = searched[-1]
    chosen = select(request.select, context, last["screen"]["run_id"])
    asked = request.finetune
    if number < len(request.levels):
        plan = replace(asked.plan, epochs=request.level_epochs, schedule=request.level_schedule)
        asked = replace(asked, plan=plan)
    trained = finetune(asked, context, chosen["run_id"])
    return {
        "sparsity": sparsity,
        **last,
        "generations": searched,
        "select": chosen,
        "finetune": trained,
    }


def _note(results: list[FinetuneResult], levels: list[dict[str, Any]]) -> str:
    rows = [
        f"| {percent(r.sparsity)} | {r.dense[r.primary]:.4f} | {r.dev[r.primary]:.4f} | "
        f"{r.retention:.1%} | {level['select']['verdict']} |"
        for r, level in zip(results, levels, strict=True)
    ]
    last = levels[-1]["finetune"]
    return "\n".join(
        [
            f"**{results[-1].task}, {len(levels)} levels to {percent(results[-1].sparsity)}.**",
            "",
            f"| sparsity | dense {results[-1].primary} | sparse | retention | selection |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Registered: `{address(last)}`.",
        ]
    )
