"""`finetune`: train the weights under a selected mask, evaluate on dev once, register the result.

`finetune_dense` is the same training without a mask: it makes the dense model of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from safetensors.numpy import save_file
from torch import nn

from rpmask import ranks
from rpmask.direction import better_way
from rpmask.errors import RpmaskError
from rpmask.masks.packed_format import save_mask
from rpmask.records import DataChoice
from rpmask.results import FinetuneResult
from rpmask.steps.context import Context, Tee
from rpmask.steps.defaults import freezes
from rpmask.steps.finetune_result import answer_charts, describe, measure
from rpmask.steps.frame import Done, Step, address, by_group, log_outputs, registered_as, run_step
from rpmask.steps.inputs import (
    Prepared,
    data_params,
    load_data,
    log_data,
    prepare,
    read_as,
    source_digest,
)
from rpmask.steps.promotion import SELECTION, promotion
from rpmask.steps.requests import FinetuneRequest
from rpmask.steps.resolve import MASK_FILE, Resolved, resolve
from rpmask.steps.training import Training, fit
from rpmask.train.plan import LABELS_ONLY, TIGHTENING, TrainPlan
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun
    from rpmask.train.trainer import Trained

ANSWERS = "dev.safetensors"


def finetune(request: FinetuneRequest, context: Context, source: str) -> dict[str, Any]:
    """Train the mask of a `select` or `jackpot` run, named by its id or by the version it registered.

    Refitting restores what the layers computed before they were masked. A jackpot's mask was searched to
    compute something else, so by default it is not refitted.
    """
    found = resolve(source, context, ("select", "jackpot"))
    found = replace(found, teacher=request.teacher or found.teacher)
    rows = request.plan.refit_rows(found.sparsity, drawn=found.step == "select")
    frozen = freezes(request.plan.freeze_embeddings, found.task)
    plan = replace(request.plan, refit=rows, freeze_embeddings=frozen)
    if plan.tighten is not None:
        _check_tighter(plan.tighten, found)
        plan.check_granularity(found.granularity)
        found = replace(found, sparsity=plan.tighten)
    return _train(replace(request, plan=plan), context, found)


def _check_tighter(target: float, found: Resolved) -> None:
    """Refuse a target that the mask has reached."""
    if target <= found.sparsity:
        raise RpmaskError(
            f"The mask of run '{found.run_id}' drops {found.sparsity:g} already, and --tighten is "
            f"{target:g}.",
            "Give a higher sparsity, or leave --tighten out.",
        )


def finetune_dense(
    request: FinetuneRequest,
    context: Context,
    *,
    task: str,
    model: str,
    data: DataChoice,
    teacher: str | None = None,
) -> dict[str, Any]:
    """Train a model without a mask: on the labels, or a teacher further on its own answers."""
    frozen = bool(request.plan.freeze_embeddings)
    plan = replace(request.plan, refit=0, tighten=None, freeze_embeddings=frozen)
    if teacher is None:
        plan = replace(plan, distill=LABELS_ONLY, augment=0)
    dense = Resolved(task, model, teacher or model, 0, 0.0, data, teacher=teacher)
    return _train(replace(request, plan=plan), context, dense)


def _train(request: FinetuneRequest, context: Context, found: Resolved) -> dict[str, Any]:
    from rpmask.tracking.registry import fetch, pin

    request.check()
    found.data.check()
    data = load_data(found.task, found.data)
    tracker = context.tracker
    found = replace(
        found,
        task=data.spec.name,
        weights=pin(tracker, found.weights),
        teacher=pin(tracker, found.teacher) if found.teacher else None,
    )
    step = Step(
        name="finetune",
        title=f"finetune {found.task} {_kind(found)}",
        task=found.task,
        level=found.level,
        sparsity=found.sparsity,
        inputs={
            "start": source_digest(tracker, found.weights),
            "teacher": source_digest(tracker, found.teacher) if found.teacher else None,
            "selection": found.run_id,
            "mask": found.mask_digest,
            "data": read_as(data, found.data),
        },
        decides=deciding(request),
        params=_params(request, found),
        tags={"rpmask.selection": found.run_id} if found.run_id else {},
    )

    def work(run: StepRun) -> Done:
        start = fetch(tracker, found.weights)
        prepared = prepare(data, found.data, start)
        log_data(run, data, found.data)
        mask = found.load_mask(context)
        if mask is not None:
            save_mask(mask, run.work / MASK_FILE)
        training = Training(
            task=found.task,
            start=start,
            teacher=fetch(tracker, found.teacher) if found.teacher else None,
            mask=found.mask_digest,
            folder=str(run.work.resolve()),
            data=found.data,
            plan=request.plan,
            granularity=found.granularity,
        )
        ranks.announce(training.to_dict())
        which = "dense" if mask is None else "masked"
        context.console.say(f"Training the {which} model on {prepared.train_rows}.")
        with context.console.working("finetune") as shown:
            trained, model, teacher = fit(training, mask, prepared, Tee(shown, run))
        if trained.refitted == 0:
            context.console.say(
                "Nothing was refitted: only Linear and Conv1D layers that a pass uses once can be."
            )
        final = replace(found, mask_digest=trained.mask.digest if trained.mask else None)
        if trained.mask is not None:
            save_mask(trained.mask, run.work / MASK_FILE)
        result, answers = measure(final, prepared, trained, model, teacher, run.run_id)
        if final.mask_digest != found.mask_digest:
            result = replace(result, tightened_from=found.mask_digest)
        save_file(answers, str(run.work / ANSWERS))
        charts = answer_charts(prepared.spec, result, answers)
        return _finish(request, run, final, prepared, result, trained, model, charts)

    return run_step(step, context, work, lambda run: _reused(request, run))


def _finish(
    request: FinetuneRequest,
    run: StepRun,
    found: Resolved,
    prepared: Prepared,
    result: FinetuneResult,
    trained: Trained,
    model: nn.Module,
    charts: Sequence[Chart],
) -> Done:
    metrics = by_group(
        dev=result.dev,
        dense=result.dense,
        on_selection=result.selection,
        dense_on_selection=result.dense_selection,
    )
    totals = {**result.pick("retention", "agreement", "steps"), "train_seconds": trained.seconds}
    log_outputs(
        run,
        documents={"finetune.json": result},
        charts=charts,
        intro=describe(found, result),
        metrics={**metrics, **totals},
    )
    run.log_file(run.work / ANSWERS)
    if found.mask_digest is not None:
        run.log_file(run.work / MASK_FILE)
    run.tag(primary=result.primary, better=better_way(result.lower_is_better))
    registered, promoted = _register(request, run, found, prepared, result, model)
    kept = result.pick(
        *("selection_run_id", "dense", "dev", "selection", "dense_selection", "majority"),
        *("primary", "retention", "agreement", "agreement_majority", "steps", "best_step"),
    )
    serve = f"mlflow models serve -m {address(registered)} --env-manager local"
    note = describe(found, result) + registered_as(registered, serve)
    return Done({**kept, "model": registered, "promoted": promoted}, note)


def _register(
    request: FinetuneRequest,
    run: StepRun,
    found: Resolved,
    prepared: Prepared,
    result: FinetuneResult,
    model: nn.Module,
) -> tuple[dict[str, Any], bool]:
    """Register the model; return the version and whether it is champion."""
    from rpmask.tracking.register_model import register, writer_of
    from rpmask.tracking.registry import CHAMPION, DENSE

    with promotion(run.tracker, result, request.retain) as promoted:
        registered = register(
            run,
            writer_of(model, prepared.tokenizer),
            prepared.spec,
            max_length=prepared.encoder.max_length,
            tags={
                "rpmask.step": "finetune",
                "rpmask.sparsity": repr(float(found.sparsity)),
                "rpmask.metric": repr(float(result.dev[result.primary])),
                "rpmask.retention": repr(float(result.retention)),
                SELECTION: repr(float(result.selection[result.primary])),
            },
            description=describe(found, result),
            aliases=(CHAMPION,) if promoted else (DENSE,) if _kind(found) == "dense" else (),
        )
    return registered, promoted


def _kind(found: Resolved) -> str:
    """Return what is trained, for the run's name."""
    if found.mask_digest is not None:
        return percent(found.sparsity)
    return "dense" if found.teacher is None else "dense, distilled"


def _reused(request: FinetuneRequest, run: StepRun) -> dict[str, Any]:
    """Return the stored result; the champion is decided again, since `--retain` may have changed."""
    from rpmask.tracking.registry import CHAMPION

    stored, tracker = run.result(), run.tracker
    result = tracker.artifacts.record(run.run_id, "finetune.json", FinetuneResult)
    if stored["promoted"] or not result.selection:
        return stored
    model = {**stored["model"], "alias": CHAMPION}
    with promotion(tracker, result, request.retain) as promoted:
        if promoted:
            tracker.client.set_registered_model_alias(
                model["name"], CHAMPION, str(model["version"])
            )
    return {**stored, "promoted": True, "model": model} if promoted else stored


def deciding(request: FinetuneRequest) -> dict[str, Any]:
    """Return the options that decide what is trained; those that say nothing here have their defaults."""
    usual = TrainPlan()
    unsaid = {name: getattr(usual, name) for name in _without(request.plan)}
    return replace(request, plan=replace(request.plan, **unsaid)).without("retain")


def _without(plan: TrainPlan) -> tuple[str, ...]:
    """The settings of tightening that say nothing here."""
    if plan.tighten is None:
        return TIGHTENING
    return () if plan.trains else TIGHTENING[1:]


def _params(request: FinetuneRequest, found: Resolved) -> dict[str, Any]:
    plan = request.plan
    terms = {f"distill_{k}": v for k, v in plan.distill.without("layer_map").items()}
    return {
        "task": found.task,
        "model": found.model,
        "start": found.weights,
        "teacher": found.teacher,
        "sparsity": found.sparsity,
        "selection": found.run_id,
        **plan.without("distill", "extra", *_without(plan)),
        **terms,
        "processes": ranks.world_size() if ranks.world_size() > 1 else None,
        **{f"set_{name}": value for name, value in plan.extra.items()},
        **data_params(found.data),
    }
