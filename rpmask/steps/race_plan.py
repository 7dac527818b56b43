"""The plan of a race: a request completed by what its pool decides, its rungs and its held-out examples."""

from __future__ import annotations

import math
from dataclasses import replace

from rpmask.heads.splits import Split
from rpmask.randomized_masks.early_evaluation import RaceRules, rung_steps
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.steps.defaults import freezes
from rpmask.steps.inputs import Prepared
from rpmask.steps.race_engine import race_threads
from rpmask.steps.screen_request import RACE_REFIT_ROWS, ScreenRequest
from rpmask.streams import generator
from rpmask.train.plan import LABELS_ONLY, REFIT_FROM

NEVER_STOP = 1e9  # standard errors behind the best at which a candidate stops


def resolve_race(request: ScreenRequest, task: str, sparsity: float) -> ScreenRequest:
    """Complete a request by what its pool decides; a race on labels drops the options of distillation."""
    if request.refit is None:
        always = request.budget == 0 or sparsity >= REFIT_FROM
        request = replace(request, refit=RACE_REFIT_ROWS if always else 0)
    if request.budget == 0:  # twins show the noise of a training, and there is none
        request = replace(request, twins=0)
    if request.distilled is False or not request.distill.needs_teacher:
        return replace(
            request, distilled=False, distill=LABELS_ONLY, dropout=None, freeze_embeddings=False
        )
    frozen = freezes(request.freeze_embeddings, task)
    return replace(request, distilled=True, freeze_embeddings=frozen)


def plan_race(
    request: ScreenRequest, rows: int, k: int, twins: int = 0
) -> tuple[RaceTraining, RaceRules]:
    """Return how long each candidate trains, and at which steps they are compared."""
    batch = min(request.batch_size, rows)
    full_steps = max(1, math.floor(request.epochs * (rows // batch)))
    training = RaceTraining(
        full_steps=full_steps,
        batch_size=batch,
        learning_rate=request.learning_rate,
        refit=request.refit or 0,
        distill=request.distill,
        dropout=request.dropout,
        freeze_embeddings=bool(request.freeze_embeddings),
        seed=request.seed,
        threads=race_threads(request),
        precision=request.precision,
        weight_decay=request.weight_decay,
        max_grad_norm=request.max_grad_norm,
        evaluate_every=request.evaluate_every,
        scored_evaluations=request.scored_evaluations,
    )
    if request.budget == 0:
        return training, RaceRules(rungs=(0,))
    rungs = rung_steps(
        full_steps, k, rungs=request.rungs, eta=request.eta, budget=request.budget, twins=twins
    )
    if request.full:  # as in the paper: every candidate trains the whole epoch
        rungs = tuple(sorted({*rungs, full_steps}))
        return training, RaceRules(rungs=rungs, eta=1.0, behind=NEVER_STOP)
    return training, RaceRules(rungs=rungs, eta=request.eta, behind=request.behind)


def held_out(prepared: Prepared, request: ScreenRequest) -> Split:
    """Return the examples that candidates are compared on, seeded ones of the selection split."""
    selection = prepared.selection
    order = generator(request.seed, "held-out").permutation(len(selection.labels))[
        : request.examples
    ]
    order.sort()
    return selection.take(order)
