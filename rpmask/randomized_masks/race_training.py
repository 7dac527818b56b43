"""How a race trains its candidates: hyperparameters, learning rate, and the steps of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.jsonrecord import Record
from rpmask.randomized_masks import paper
from rpmask.train.plan import LABELS_ONLY, Distillation


@dataclass(frozen=True)
class RaceTraining(Record):
    """The training of every candidate; rate and schedule are those of the paper's early evaluation.

    `refit` is the number of rows on which the kept weights are refitted first; `distill`, `dropout` and
    `freeze_embeddings` mean what they mean in train/plan.py; a max_grad_norm of 0 clips nothing.

    A score is the mean of a candidate's last `scored_evaluations`: one every `evaluate_every` steps, and
    one at the rung. With evaluate_every 0 only the one at the rung is made.
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
    """The steps of a leg after which to evaluate: those that a score counts, and the end."""
    since = max(start, end - training.scored_evaluations * training.evaluate_every)
    return [*(step for step in range(since + 1, end) if regular(step, training)), end]


def regular(step: int, training: RaceTraining) -> bool:
    """Whether every candidate is evaluated after this step, wherever legs end."""
    return training.evaluate_every > 0 and step % training.evaluate_every == 0


def rate_share(step: int, training: RaceTraining) -> float:
    """Linear warm-up and decay over the full schedule, of which a race runs the first part."""
    warm = max(1, round(training.warmup * training.full_steps))
    if step < warm:
        return (step + 1) / warm
    return max(0.0, (training.full_steps - step) / max(1, training.full_steps - warm))
