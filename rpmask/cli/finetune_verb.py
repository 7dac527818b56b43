"""`rpmask finetune`: train under the selected mask, or the dense model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import (
    Given,
    Tracking,
    default_model,
    settings,
    settled_precision,
    source_run,
)
from rpmask.cli.groups import DATA, NONE_GIVEN, TRACKING, among, with_groups
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.requests import FinetuneRequest

FINETUNE = FinetuneRequest()


@app.command()
@with_groups
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
    dropout: n.Dropout = None,
    refit: n.Refit = None,
    freeze_embeddings: n.FreezeEmbeddings = None,
    augment: n.Augment = FINETUNE.plan.augment,
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
    data: DataChoice = DATA,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Train the selected mask's weights, read dev once, register the result.

    Example: `rpmask finetune --epochs 6`
    """
    _check_material(
        dense,
        source=source,
        teacher=teacher,
        refit=refit,
        augment=augment,
        model=model,
        data=among(given, "data"),
    )
    plan = replace(
        FINETUNE.plan,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        dropout=dropout if dense or dropout is not None else FINETUNE.plan.dropout,
        refit=refit,
        freeze_embeddings=freeze_embeddings,
        augment=augment,
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
        extra=settings(setting),
    )
    FinetuneRequest(plan=plan).check()
    from rpmask.steps.context import available_cores
    from rpmask.steps.finetune import finetune as train_masked
    from rpmask.steps.finetune import finetune_dense

    plan = replace(plan, threads=threads or available_cores())
    request = FinetuneRequest(plan=plan, retain=retain, teacher=teacher)
    context = tracking.context()
    if dense:
        result = finetune_dense(
            request, context, task=task, model=default_model(model, task, data, tracking), data=data
        )
    else:
        result = train_masked(request, context, source_run(context, source, "select", task, given))
    tracking.show("finetune", result)


def _check_material(
    dense: bool,
    *,
    source: str | None,
    teacher: str | None,
    refit: int | None,
    augment: int,
    model: str | None,
    data: list[str],
) -> None:
    """Refuse options that the training asked for has no use for."""
    if dense:
        asked = {
            "--from": source,
            "--teacher": teacher,
            "--refit": refit,
            "--augment": augment or None,
        }
        if given := [option for option, value in asked.items() if value is not None]:
            raise RpmaskError(
                f"{' and '.join(given)} cannot go with --dense.",
                "A dense training has no mask and no teacher; name what to train with --model.",
            )
    elif given := ["--model"] * (model is not None) + data:
        raise RpmaskError(
            f"{' and '.join(given)} cannot be chosen here: a mask is trained on its own run's "
            "model and data.",
            "Give them to `rpmask sample`, or add --dense to train a model without a mask.",
        )
