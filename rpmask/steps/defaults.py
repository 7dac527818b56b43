"""The defaults of `run` by recipe and task. Torch-free, like the requests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rpmask.jsonrecord import Record
from rpmask.randomized_masks import paper
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.records import ROW_ALLOCATION, SearchSpace
from rpmask.steps.requests import PAPER_SPACE, RunRequest, SampleRequest
from rpmask.tasks.registry import KNOWN_SPECS, known_name
from rpmask.train.plan import REFIT_ROWS_ALONE, Distillation, TrainPlan


@dataclass(frozen=True)
class Untrained(Record):
    """The defaults of a run without training, where a refit is all that there is.

    rows are for importances and for the last refit. examples is the task's own if it is None.
    """

    rows: int = REFIT_ROWS_ALONE
    k: int = SampleRequest.k
    examples: int | None = None
    space: SearchSpace = field(default_factory=SearchSpace)


@dataclass(frozen=True)
class Tightened(Record):
    """The defaults of a last training that tightens its mask."""

    epochs: float = 18.0
    learning_rate: float = 4e-4


@dataclass(frozen=True)
class TaskDefaults(Record):
    """The defaults that depend on the task: how long `run` takes, and what trains.

    level_epochs trains every level but the last, epochs the last, at learning_rate. If `tightened` is None,
    the levels end at the last sparsity and nothing is tightened. budget is the race's share of K full
    epochs, and candidates are compared on `examples`. Importances are computed on calibration_rows.
    """

    levels: tuple[float, ...] = paper.LEVELS[:1]
    epochs: float = 6.0
    level_epochs: float = 2.0
    learning_rate: float = TrainPlan.learning_rate
    budget: float = 0.25
    examples: int = 500
    freeze_embeddings: bool = True
    calibration_rows: int = SampleRequest.calibration_rows
    untrained: Untrained = field(default_factory=Untrained)
    tightened: Tightened | None = field(default_factory=Tightened)
    distill_hidden: float = Distillation.hidden


# `run` on the demo takes about a minute; its model recovers within a few hundred steps. Its few words are in
# every batch: at 93.75 % it keeps 98.2 % when their embeddings train and 95.7 % when they do not.
TASK_DEFAULTS = {
    "demo": TaskDefaults(
        levels=paper.LEVELS,
        epochs=0.5,
        tightened=None,
        level_epochs=0.5,
        learning_rate=3e-4,
        budget=0.08,
        examples=300,
        freeze_embeddings=False,
    )
}


# A row is a block, with an answer for every token. A language model that was trained on much more text than
# the task has is trained briefly. Its hidden states have a few values of hundreds: at 20 % sparsity of
# SmolLM2-135M by magnitude, the hidden term is 2081 and the logits term 0.65.
KIND_DEFAULTS = {
    "language": TaskDefaults(
        levels=paper.LEVELS,
        epochs=1.0,
        tightened=None,
        level_epochs=0.5,
        learning_rate=1e-4,
        examples=64,
        calibration_rows=64,
        # A candidate costs a refit and an evaluation, and there is no training to save: few candidates, on
        # fewer blocks. Magnitude, the control, is far behind on decoders; both centres need no gradients.
        untrained=Untrained(
            rows=64,
            k=3,
            examples=32,
            space=SearchSpace(importances=("wanda", "sparsegpt"), allocations=(ROW_ALLOCATION,)),
        ),
        distill_hidden=0.0,
    )
}


def task_defaults(task: str, kind: str | None = None) -> TaskDefaults:
    """The defaults of a task; kind is that of the user's own data."""
    known = KNOWN_SPECS.get(known_name(task))
    by_kind = KIND_DEFAULTS.get(kind or (known.kind if known else ""), TaskDefaults())
    return TASK_DEFAULTS.get(task, by_kind)


def freezes(given: bool | None, task: str) -> bool:
    """Whether the embeddings of a masked model stay fixed while it trains."""
    return TASK_DEFAULTS.get(task, TaskDefaults()).freeze_embeddings if given is None else given


def starting_point(recipe: str, task: str, kind: str | None = None) -> RunRequest:
    """The request of `run` for a recipe and a task, before the user's options."""
    defaults = task_defaults(task, kind)
    base = RunRequest()
    plan = base.finetune.plan
    plan = replace(
        plan,
        tighten=base.sparsity if defaults.tightened else None,
        epochs=defaults.epochs,
        learning_rate=defaults.learning_rate,
        distill=replace(plan.distill, hidden=defaults.distill_hidden),
    )
    base = replace(
        base,
        levels=defaults.levels,
        sample=replace(base.sample, calibration_rows=defaults.calibration_rows),
        screen=replace(base.screen, budget=defaults.budget, examples=defaults.examples),
        finetune=replace(base.finetune, plan=plan),
        level_epochs=defaults.level_epochs,
    )
    return _paper(base) if recipe == "paper" else base


def _paper(base: RunRequest) -> RunRequest:
    """The public recipe; where it differs on purpose is the table of docs/concepts.md."""
    plan = replace(
        base.finetune.plan,
        tighten=None,
        epochs=paper.EPOCHS,
        learning_rate=paper.LEARNING_RATE,
        batch_size=paper.BATCH_SIZE,
        weight_decay=paper.WEIGHT_DECAY,
        max_grad_norm=paper.MAX_GRAD_NORM,
        warmup=paper.WARMUP,
        schedule=paper.LAST_SCHEDULE,
        evaluate_every=paper.EVALUATE_EVERY,
        distill=PAPER_TERMS,
        dropout=None,
        refit=0,
        freeze_embeddings=False,
    )
    race = replace(
        base.screen,
        full=True,
        twins=0,
        refit=0,
        epochs=paper.EARLY_EPOCHS,
        learning_rate=paper.EARLY_LEARNING_RATE,
        batch_size=paper.BATCH_SIZE,
        weight_decay=paper.WEIGHT_DECAY,
        max_grad_norm=paper.MAX_GRAD_NORM,
        evaluate_every=paper.EVALUATE_EVERY,
        scored_evaluations=paper.SCORED_EVALUATIONS,
    )
    return replace(
        base,
        levels=paper.LEVELS,
        sample=replace(base.sample, space=PAPER_SPACE, k=paper.CANDIDATES),
        screen=race,
        finetune=replace(base.finetune, plan=plan),
        level_epochs=paper.EPOCHS,
        level_schedule=paper.SCHEDULE,
        distilled_epochs=paper.DENSE_EPOCHS,
        dense_batch_size=TrainPlan.batch_size,
    )
