"""Where the values of a road come from that nobody gave: the recipe, and the pace of the task.

Torch-free, as the requests are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rpmask.jsonrecord import Record
from rpmask.randomized_masks import paper
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.steps.requests import PAPER_SPACE, RunRequest, SampleRequest
from rpmask.train.plan import TrainPlan


@dataclass(frozen=True)
class Pace(Record):
    """What suits a task where nobody says it: how much of a machine's time `run` takes, and what trains.

    level_epochs trains every level but the last, epochs the last; budget is the race's share of K full
    epochs, and examples are what candidates are compared on.
    """

    epochs: float = 6.0
    level_epochs: float = 2.0
    budget: float = 0.25
    examples: int = 500
    freeze_embeddings: bool = True


# The demo shows the road in about a minute; its model recovers within a few hundred steps. It knows a few
# words alone, met in every batch, and at 93.75 % it keeps 98.2 % when they train and 95.7 % when they do not.
PACES = {
    "demo": Pace(epochs=1.0, level_epochs=0.25, budget=0.08, examples=300, freeze_embeddings=False)
}


def freezes(asked: bool | None, task: str) -> bool:
    """Whether the embeddings of a masked model keep their values while it trains."""
    return PACES.get(task, Pace()).freeze_embeddings if asked is None else asked


def pool_size(asked: int | None, recipe: str) -> int:
    """How many masks a pool has where nobody says it."""
    if asked is not None:
        return asked
    return paper.CANDIDATES if recipe == "paper" else SampleRequest.k


def starting_point(recipe: str, task: str) -> RunRequest:
    """A road of this recipe, before anything else is asked for."""
    road = _paced(PACES.get(task, Pace()))
    return _paper(road) if recipe == "paper" else road


def _paced(pace: Pace) -> RunRequest:
    road = RunRequest()
    return replace(
        road,
        screen=replace(road.screen, budget=pace.budget, examples=pace.examples),
        finetune=replace(road.finetune, plan=replace(road.finetune.plan, epochs=pace.epochs)),
        level_epochs=pace.level_epochs,
    )


def _paper(road: RunRequest) -> RunRequest:
    """The public recipe; where it differs on purpose is the table of docs/concepts.md."""
    plan = replace(
        road.finetune.plan,
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
        road.screen,
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
        road,
        levels=paper.LEVELS,
        sample=replace(road.sample, space=PAPER_SPACE, k=paper.CANDIDATES),
        screen=race,
        finetune=replace(road.finetune, plan=plan),
        level_epochs=paper.EPOCHS,
        level_schedule=paper.SCHEDULE,
        distilled_epochs=paper.DENSE_EPOCHS,
        dense_batch_size=TrainPlan.batch_size,
    )
