"""The dense model of a task: the given model, or one trained from it if it has no head for the task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.steps.context import Context
from rpmask.steps.finetune import finetune_dense
from rpmask.steps.frame import address
from rpmask.steps.inputs import spec_of
from rpmask.steps.requests import FinetuneRequest, RunRequest, SampleRequest
from rpmask.train.models import has_head
from rpmask.train.plan import TrainPlan


def dense_training(request: RunRequest) -> FinetuneRequest:
    """Return how `run` trains the dense model: on the labels, with its own epochs and learning rate.

    It is the same for every recipe: the paper begins with a fine-tuned model and does not say how it was
    trained.
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
    """Return the address of the dense model, and the result of its training if it needed one."""
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
    return address(dense["model"]), dense


def from_dense(request: SampleRequest, seed: int, threads: int, context: Context) -> SampleRequest:
    """Return the request with the dense model as its start, trained as `run` would train it."""
    if request.start is not None:
        return request
    usual = RunRequest()
    plan = replace(usual.finetune.plan, seed=seed, threads=threads)
    training = dense_training(replace(usual, finetune=replace(usual.finetune, plan=plan)))
    with context.tracker.unattached():  # the run of an MLflow project belongs to the pool
        start, _ = dense_first(request, training, context)
    return replace(request, start=start, teacher=request.teacher or start)
