"""`rpmask run`: the whole road, level by level."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeVar

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import Given, Tracking, default_model, settings, settled_precision
from rpmask.cli.groups import (
    DATA,
    NONE_GIVEN,
    RACING,
    SAMPLING,
    TRACKING,
    check_task,
    refuse_space,
    with_groups,
)
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.recipes import pool_size, starting_point
from rpmask.steps.requests import RunRequest, SampleRequest, ScreenRequest

RUN = RunRequest()
SAMPLE, FINETUNE = RUN.sample, RUN.finetune
Value = TypeVar("Value")


@app.command()
@with_groups
def run(
    task: o.Task = SAMPLE.task,
    model: o.Model = None,
    levels: n.Levels = None,
    one_shot: Annotated[
        bool, typer.Option("--one-shot", help="One level, straight to --sparsity.")
    ] = False,
    sparsity: n.LastSparsity = None,
    k: n.RecipeK = None,
    recipe: n.Recipe = SAMPLE.recipe,
    seed: o.Seed = SAMPLE.seed,
    sampling: SampleRequest = SAMPLING,
    generations: n.Generations = RUN.generations,
    storage: o.Storage = None,
    budget: n.RunBudget = None,
    full: n.Full = False,
    examples: n.RunExamples = None,
    racing: ScreenRequest = RACING,
    take: n.Take = RUN.select.take,
    epochs: n.RunEpochs = None,
    level_epochs: n.LevelEpochs = None,
    dense_epochs: Annotated[
        float,
        typer.Option(help="Epochs of the dense model, if needed.", rich_help_panel=o.TRAINING),
    ] = RUN.dense_epochs,
    dense_rate: Annotated[
        float,
        typer.Option(help="Peak rate of the dense model.", rich_help_panel=o.TRAINING),
    ] = RUN.dense_learning_rate,
    distilled_epochs: n.DistilledEpochs = None,
    learning_rate: n.RunLearningRate = None,
    batch_size: n.RunBatchSize = None,
    dropout: n.RunDropout = None,
    refit: n.RunRefit = None,
    freeze_embeddings: n.RunFreezeEmbeddings = None,
    augment: n.Augment = FINETUNE.plan.augment,
    precision: o.Precision = FINETUNE.plan.precision,
    distill_labels: n.RunTermLabels = None,
    distill_logits: n.RunTermLogits = None,
    distill_hidden: n.RunTermHidden = None,
    distill_attention: n.RunTermAttention = None,
    setting: n.Setting = None,
    retain: n.Retain = FINETUNE.retain,
    data: DataChoice = DATA,
    given: Given = NONE_GIVEN,
    tracking: Tracking = TRACKING,
) -> None:
    """Walk the whole road, level by level; the same command continues after an interruption.

    Example: `rpmask run --task rte --model bert-base-uncased`
    """
    refuse_space(given, recipe=recipe)
    base = starting_point(recipe, task)
    precision = settled_precision(precision)  # once: a trial may come out otherwise the next time
    known, terms = base.finetune.plan, base.finetune.plan.distill
    plan = replace(
        known,
        epochs=_given(epochs, known.epochs),
        learning_rate=_given(learning_rate, known.learning_rate),
        batch_size=_given(batch_size, known.batch_size),
        dropout=_given(dropout, known.dropout),
        refit=_given(refit, known.refit),
        freeze_embeddings=_given(freeze_embeddings, known.freeze_embeddings),
        augment=augment,
        precision=precision,
        seed=seed,
        distill=replace(
            terms,
            labels=_given(distill_labels, terms.labels),
            logits=_given(distill_logits, terms.logits),
            hidden=_given(distill_hidden, terms.hidden),
            attention=_given(distill_attention, terms.attention),
        ),
        extra=settings(setting),
    )
    request = RunRequest(
        levels=_road(levels, sparsity, one_shot),
        generations=generations,
        sample=replace(
            sampling,
            task=task,
            model=default_model(model, task, data, tracking),
            k=pool_size(k, recipe),
            seed=seed,
            recipe=recipe,
            space=base.sample.space if sampling.space == SAMPLING.space else sampling.space,
            storage=storage,
            data=data,
        ),
        screen=replace(
            racing,
            seed=seed,
            epochs=base.screen.epochs,
            weight_decay=base.screen.weight_decay,
            max_grad_norm=base.screen.max_grad_norm,
            evaluate_every=base.screen.evaluate_every,
            twins=racing.twins if "twins" in given else base.screen.twins,
            scored_evaluations=base.screen.scored_evaluations,
            budget=_given(budget, base.screen.budget),
            refit=_given(racing.refit, base.screen.refit),
            distilled=_given(racing.distilled, base.screen.distilled),
            distill=plan.distill,
            dropout=plan.dropout,
            freeze_embeddings=plan.freeze_embeddings,
            full=full or (base.screen.full and budget is None),
            examples=_given(examples, base.screen.examples),
            batch_size=_given(batch_size, base.screen.batch_size),
            # The race scales no losses, which fp16 needs.
            precision="fp32" if precision == "fp16" else precision,
            storage=storage,
        ),
        select=replace(base.select, take=take, seed=seed),
        finetune=replace(
            base.finetune,
            plan=plan,
            retain=retain,
        ),
        level_epochs=_given(level_epochs, base.level_epochs),
        dense_epochs=dense_epochs,
        dense_learning_rate=dense_rate,
        dense_batch_size=base.dense_batch_size if batch_size is None else None,
        level_schedule=base.level_schedule,
        distilled_epochs=_given(distilled_epochs, base.distilled_epochs),
    )
    request.check()
    check_task(task, data)
    from rpmask.steps.context import available_cores
    from rpmask.steps.pipeline import run_levels

    plan = replace(request.finetune.plan, threads=racing.threads or available_cores())
    request = replace(request, finetune=replace(request.finetune, plan=plan))
    context = tracking.context()
    tracking.show("run", run_levels(request, context))


def _given(value: Value | None, otherwise: Value) -> Value:
    """What was asked for, or else what the recipe has."""
    return otherwise if value is None else value


def _road(levels: str | None, sparsity: float | None, one_shot: bool) -> tuple[float, ...]:
    """The levels asked for: a list, a schedule, or the paper's as far as the sparsity wanted."""
    from rpmask.randomized_masks.levels import check_levels, parse_levels

    if levels is not None:
        road = parse_levels(levels, sparsity)
        if one_shot and len(road) > 1:
            raise RpmaskError(
                f"--one-shot is one level, and --levels asks for {len(road)}.",
                "Leave one of the two out.",
            )
        return road
    last = RUN.levels[-1] if sparsity is None else sparsity
    before = () if one_shot else tuple(level for level in RUN.levels if level < last)
    return check_levels((*before, last))
