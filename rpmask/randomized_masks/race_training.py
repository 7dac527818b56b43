"""How every candidate of a race is trained: its numbers, its rate, and when it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.jsonrecord import Record
from rpmask.randomized_masks import paper
from rpmask.train.plan import LABELS_ONLY, Distillation


@dataclass(frozen=True)
class RaceTraining(Record):
    """How every candidate of a race is trained; rate and schedule are the paper's early evaluation's.

    refit is the number of rows on which each one's kept weights are refitted first; distill, dropout and
    freeze_embeddings are those of a training (`train/plan.py`). A max_grad_norm of 0 clips nothing.

    A score is the mean of the last scored_evaluations of a candidate: one every evaluate_every steps, and
    the one at the rung. With evaluate_every 0 there is that one alone.
    """

    full_steps: int
    batch_size: int = 32
    learning_rate: float = paper.EARLY_LEARNING_RATE
    refit: int = 0
    distill: Distillation = LABELS_ONLY
    dropout: float | None = None
    freeze_embeddings: bool = False
    warmup: float = paper.WARMUP
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    threads: int = 1
    precision: str = "fp32"
    evaluate_every: int = 0
    scored_evaluations: int = 1


def stops(start: int, end: int, training: RaceTraining) -> list[int]:
    """The steps up to end after which a candidate is evaluated: those that a score counts, and the end."""
    since = max(start, end - training.scored_evaluations * training.evaluate_every)
    return [*(step for step in range(since + 1, end) if regular(step, training)), end]


def regular(step: int, training: RaceTraining) -> bool:
    """Whether a step is one of those after which every candidate is evaluated, wherever legs end."""
    return training.evaluate_every > 0 and step % training.evaluate_every == 0


def rate_share(step: int, training: RaceTraining) -> float:
    """Linear warm-up and decay over the full schedule, of which a race runs the first part."""
    warm = max(1, round(training.warmup * training.full_steps))
    if step < warm:
        return (step + 1) / warm
    return max(0.0, (training.full_steps - step) / max(1, training.full_steps - warm))
