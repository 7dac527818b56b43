"""The dense model of a task: the one that was named, or one trained from it where it has no head yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.steps.context import Context
from rpmask.steps.finetune import finetune_dense
from rpmask.steps.inputs import spec_of
from rpmask.steps.requests import FinetuneRequest, RunRequest, SampleRequest
from rpmask.train.models import has_head
from rpmask.train.plan import TrainPlan


def dense_training(request: RunRequest) -> FinetuneRequest:
    """How `run` trains the dense model: on the labels, for its own epochs and at its own rate.

    With every recipe as in the default one: the public one begins with a model that is fine-tuned, and
    says no more.
    """
    plan = replace(
        request.finetune.plan,
        batch_size=request.dense_batch_size or request.finetune.plan.batch_size,
        schedule=TrainPlan.schedule,
        weight_decay=TrainPlan.weight_decay,
        max_grad_norm=TrainPlan.max_grad_norm,
        evaluate_every=TrainPlan.evaluate_every,
        epochs=request.dense_epochs,
        learning_rate=request.dense_learning_rate,
        dropout=None,
        freeze_embeddings=None,
        max_steps=-1,
        extra={k: v for k, v in request.finetune.plan.extra.items() if k != "max_steps"},
    )
    return replace(request.finetune, plan=plan)


def dense_first(
    sampling: SampleRequest, training: FinetuneRequest, context: Context
) -> tuple[str, dict[str, Any] | None]:
    """Where the dense model is, and the training that made it if it took one."""
    from rpmask.tracking.registry import check_dense, fetch, pin

    pinned = pin(context.tracker, sampling.model)
    check_dense(context.tracker, pinned)
    spec = spec_of(sampling.task, sampling.data)
    if has_head(fetch(context.tracker, pinned), spec):
        return pinned, None
    context.console.say(
        f"'{sampling.model}' has no head for {spec.name}: training the dense model first."
    )
    dense = finetune_dense(
        training, context, task=sampling.task, model=sampling.model, data=sampling.data
    )
    return address(dense), dense


def from_dense(request: SampleRequest, seed: int, threads: int, context: Context) -> SampleRequest:
    """The request with the dense model as its start, trained as `run` would train it."""
    if request.start is not None:
        return request
    usual = RunRequest()
    plan = replace(usual.finetune.plan, seed=seed, threads=threads)
    training = dense_training(replace(usual, finetune=replace(usual.finetune, plan=plan)))
    with context.tracker.unattached():  # the run of an MLflow project belongs to the pool
        start, _ = dense_first(request, training, context)
    return replace(request, start=start, teacher=request.teacher or start)


def address(trained: dict[str, Any]) -> str:
    """What a training registered, as other steps name it."""
    return f"models:/{trained['model']['name']}/{trained['model']['version']}"
