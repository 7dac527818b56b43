"""`finetune`: train the selected mask's weights, report dev once, register the result.

With `dense`, the same training without a mask or a teacher: that is how a pretrained model becomes
the dense model of a task.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file
from torch import nn

from rpmask import ranks
from rpmask.masks.packed_format import save_mask
from rpmask.records import DataChoice
from rpmask.results import FinetuneResult
from rpmask.steps.context import Context, Tee
from rpmask.steps.decides import step_digest
from rpmask.steps.defaults import freezes
from rpmask.steps.inputs import Prepared, load_data, prepare, read_as, source_digest
from rpmask.steps.material import Material, find_material
from rpmask.steps.outcome import note, outcome
from rpmask.steps.promotion import SELECTION, promote_again, promotion
from rpmask.steps.requests import FinetuneRequest
from rpmask.steps.shown import data_params
from rpmask.steps.training import MASK_FILE, Training, fit
from rpmask.tasks.spec import TaskData
from rpmask.train.plan import LABELS_ONLY, REFIT_ROWS, refit_rows
from rpmask.words import percent

ANSWERS = "dev.safetensors"

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun
    from rpmask.train.trainer import Trained


def finetune(request: FinetuneRequest, context: Context, source: str) -> dict[str, Any]:
    """Train a `select` or `jackpot` run's mask; by run id, or by what it registered.

    Refitting brings back what the weights did before they were masked. A jackpot's mask was searched so that
    they do something else, and is trained as it is if nobody asks otherwise.
    """
    material = find_material(source, request.teacher, context)
    default = REFIT_ROWS if material.pool_run_id is not None else 0
    rows = refit_rows(request.plan.refit, default, material.sparsity)
    frozen = freezes(request.plan.freeze_embeddings, material.task)
    plan = replace(request.plan, refit=rows, freeze_embeddings=frozen)
    return _train(replace(request, plan=plan), context, material)


def finetune_dense(
    request: FinetuneRequest,
    context: Context,
    *,
    task: str,
    model: str,
    data: DataChoice,
    teacher: str | None = None,
) -> dict[str, Any]:
    """Train a model without a mask on a task's labels; or a teacher further, by its own answers."""
    frozen = bool(request.plan.freeze_embeddings)
    plan = replace(request.plan, refit=0, freeze_embeddings=frozen)
    if teacher is None:
        plan = replace(plan, distill=LABELS_ONLY, augment=0)
    material = Material(
        task=task,
        model=model,
        start=teacher or model,
        level=0,
        sparsity=0.0,
        data=data,
        teacher=teacher,
    )
    return _train(replace(request, plan=plan), context, material)


def _train(request: FinetuneRequest, context: Context, material: Material) -> dict[str, Any]:
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import fetch, pin
    from rpmask.tracking.runs import StepKey

    request.check()
    material.data.check()
    data = load_data(material.task, material.data)
    tracker = context.tracker
    material = replace(
        material,
        task=data.spec.name,
        start=pin(tracker, material.start),
        teacher=pin(tracker, material.teacher) if material.teacher else None,
    )
    inputs = {
        "start": source_digest(tracker, material.start),
        "teacher": source_digest(tracker, material.teacher) if material.teacher else None,
        "selection": material.selection_run_id,
        "mask": material.mask.digest if material.mask else None,
        "data": read_as(data, material.data),
    }
    step_key = StepKey(
        step="finetune",
        key=step_digest("finetune", inputs, deciding(request)),
        name=f"finetune {material.task} {_kind(material)}",
        task=material.task,
        level=material.level,
        sparsity=material.sparsity,
        params=_shown_params(request, material),
        tags={"rpmask.selection": material.selection_run_id} if material.selection_run_id else {},
    )
    with open_run(tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This was trained before: run {run.run_id}.")
            return _finished(request, run)
        start = fetch(tracker, material.start)
        prepared = prepare(data, material.data, start)
        _log_datasets(run, data)
        trained, model, teacher = _fit(request, context, run, material, prepared, start)
        if trained.refitted == 0:
            context.console.say(
                "Nothing was refitted: only Linear and Conv1D layers that a pass uses once can be."
            )
        result, answers = outcome(material, prepared, trained, model, teacher, run.run_id)
        save_file(answers, str(run.work / ANSWERS))
        return _finish(request, run, material, prepared, result, trained, model)


def _fit(
    request: FinetuneRequest,
    context: Context,
    run: StepRun,
    material: Material,
    prepared: Prepared,
    start: str,
) -> tuple[Trained, nn.Module, nn.Module | None]:
    from rpmask.tracking.registry import fetch

    if material.mask is not None:
        save_mask(material.mask, run.work / MASK_FILE)
    training = Training(
        task=material.task,
        start=start,
        teacher=fetch(context.tracker, material.teacher) if material.teacher else None,
        mask=material.mask.digest if material.mask else None,
        folder=str(run.work.resolve()),
        data=material.data,
        plan=request.plan,
    )
    ranks.announce(training.to_dict())
    context.console.say(
        f"Training {'the dense model' if material.mask is None else 'the masked model'} on "
        f"{len(prepared.train):,} rows."
    )
    with context.console.working("finetune") as shown:
        return fit(training, material.mask, prepared, Tee(shown, run))


def _finish(
    request: FinetuneRequest,
    run: StepRun,
    material: Material,
    prepared: Prepared,
    result: FinetuneResult,
    trained: Trained,
    model: nn.Module,
) -> dict[str, Any]:
    run.log_json("finetune.json", result.to_dict())
    run.log_file(run.work / ANSWERS)
    if material.mask is not None:
        run.log_file(run.work / MASK_FILE)
    for group, values in (
        ("dev", result.dev),
        ("dense", result.dense),
        ("on_selection", result.selection),
        ("dense_on_selection", result.dense_selection),
    ):
        for name, value in values.items():
            if np.isfinite(value):
                run.metric(f"{group}/{name}", value)
    run.metric("retention", result.retention)
    if result.agreement is not None:
        run.metric("agreement", result.agreement)
    run.metric("steps", result.steps)
    run.metric("train_seconds", trained.seconds)
    run.tag(primary=result.primary)
    registered, promoted = _register(request, run, material, prepared, result, model)
    return run.finish(
        {
            "selection_run_id": material.selection_run_id,
            "dense": result.dense,
            "dev": result.dev,
            "selection": result.selection,
            "dense_selection": result.dense_selection,
            "majority": result.majority,
            "primary": result.primary,
            "retention": result.retention,
            "agreement": result.agreement,
            "agreement_majority": result.agreement_majority,
            "steps": result.steps,
            "best_step": result.best_step,
            "model": registered,
            "promoted": promoted,
        },
        note(material, result, registered),
    )


def _register(
    request: FinetuneRequest,
    run: StepRun,
    material: Material,
    prepared: Prepared,
    result: FinetuneResult,
    model: nn.Module,
) -> tuple[dict[str, Any], bool]:
    """The registered version, and whether it is champion."""
    from rpmask.tracking.register import register, saved
    from rpmask.tracking.registry import CHAMPION, DENSE

    with promotion(run.tracker, result, request.retain) as promoted:
        registered = register(
            run,
            saved(model, prepared.tokenizer),
            prepared.spec,
            tags={
                "rpmask.step": "finetune",
                "rpmask.sparsity": repr(float(material.sparsity)),
                "rpmask.metric": repr(float(result.dev[result.primary])),
                "rpmask.retention": repr(float(result.retention)),
                SELECTION: repr(float(result.selection[result.primary])),
            },
            description=note(material, result, None),
            aliases=(CHAMPION,) if promoted else (DENSE,) if _kind(material) == "dense" else (),
        )
    return registered, promoted


def _kind(material: Material) -> str:
    """What is trained, in a run's name."""
    if material.mask is not None:
        return percent(material.sparsity)
    return "dense" if material.teacher is None else "dense, distilled"


def _finished(request: FinetuneRequest, run: StepRun) -> dict[str, Any]:
    """What was trained before; who is champion is decided again, since `--retain` may be another now."""
    stored = run.result()
    result = run.tracker.artifacts.record(run.run_id, "finetune.json", FinetuneResult)
    if stored["promoted"] or not result.selection:
        return stored
    if promote_again(run, result, request.retain):
        model = {**stored["model"], "alias": "champion"}
        return {**stored, "promoted": True, "model": model}
    return stored


def deciding(request: FinetuneRequest) -> dict[str, Any]:
    """The options that decide what is trained."""
    return {name: value for name, value in request.to_dict().items() if name != "retain"}


def _log_datasets(run: StepRun, data: TaskData) -> None:
    from rpmask.tracking.datasets import log_datasets

    splits = {"train": data.train, "selection": data.selection, **data.dev}
    log_datasets(run, data.spec.name, data.source, splits, data.digests)


def _shown_params(request: FinetuneRequest, material: Material) -> dict[str, Any]:
    plan = request.plan
    terms = {f"distill_{k}": v for k, v in plan.distill.to_dict().items() if k != "layer_map"}
    shown = {k: v for k, v in plan.to_dict().items() if k not in ("distill", "extra")}
    return {
        "task": material.task,
        "model": material.model,
        "start": material.start,
        "teacher": material.teacher,
        "sparsity": material.sparsity,
        "selection": material.selection_run_id,
        **shown,
        **terms,
        "processes": ranks.world_size() if ranks.world_size() > 1 else None,
        **{f"set_{name}": value for name, value in plan.extra.items()},
        **data_params(material.data),
    }
