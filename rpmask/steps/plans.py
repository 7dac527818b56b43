"""The plan of each verb: its parts in the order in which the verb carries them out."""

from __future__ import annotations

from dataclasses import replace

from rpmask.records import DataChoice, Pool
from rpmask.steps.context import Context
from rpmask.steps.dense_model import dense_training, from_dense
from rpmask.steps.finetune import finetune, finetune_dense
from rpmask.steps.jackpot import jackpot
from rpmask.steps.jackpot_request import DRAWN_STARTS, JackpotRequest
from rpmask.steps.jackpot_start import find_start
from rpmask.steps.pipeline import distilling, run_levels, training_at, walk
from rpmask.steps.planning import Plan, Planner, Work, looked_up
from rpmask.steps.race_engine import race_threads
from rpmask.steps.requests import FinetuneRequest, RunRequest, ScreenRequest, TuneRequest
from rpmask.steps.resolve import resolve
from rpmask.steps.screen import screen
from rpmask.steps.tune import generations_within, tune
from rpmask.train.models import has_head
from rpmask.train.plan import LABELS_ONLY, TrainPlan


def plan_run(request: RunRequest, context: Context) -> Plan:
    """The plan of the whole pipeline."""
    first = request.sample
    plans = Planner(first.task, first.model, first.data, context)
    works = dense_works(plans, request)
    if request.distilled_epochs:
        works.append(plans.finetune(distilling(request), 0, 0.0))
    before = 0.0
    for level, sparsity in enumerate(request.levels, start=1):
        for _ in range(request.generations):
            works.append(plans.sample(first, level, sparsity, before))
            works.append(plans.screen(request.screen, first.k, level, sparsity))
        works.append(plans.select(level, sparsity))
        works.append(plans.finetune(training_at(request, level).plan, level, sparsity))
        before = sparsity
    found = looked_up(
        context,
        len(works),
        lambda inner: run_levels(request, inner),
        lambda inner: walk(request, inner),
    )
    return plans.finished("run", works, found, request.finetune.plan)


def plan_tune(request: TuneRequest, context: Context) -> Plan:
    """The plan of a tuning: as many races as fit into its steps if none stops early."""
    first = request.sample
    plans = Planner(first.task, first.start or first.model, first.data, context)
    usual = RunRequest()
    threads = race_threads(request.screen)
    plan = replace(usual.finetune.plan, seed=first.seed, threads=threads)
    dense = replace(usual, sample=first, finetune=replace(usual.finetune, plan=plan))
    works = dense_works(plans, dense) if first.start is None else []
    race = plans.screen(request.screen, first.k, first.level, first.sparsity)
    for _ in range(max(1, request.steps // max(1, race.part.steps))):
        works += [plans.sample(first, first.level, first.sparsity, 0.0), race]
    found = looked_up(
        context,
        len(works),
        lambda inner: tune(request, inner),
        lambda inner: generations_within(
            request, from_dense(first, first.seed, threads, inner), inner
        ),
    )
    return plans.finished("tune", works, found, raced(request.screen), threads=threads)


def plan_screen(request: ScreenRequest, context: Context, source: str) -> Plan:
    """The plan of a race."""
    tracker = context.tracker
    pool = tracker.artifacts.record(tracker.step_of(source, "sample"), "pool.json", Pool)
    plans = Planner(pool.task, pool.start, pool.data, context)
    works = [plans.screen(request, len(pool.candidates), pool.level, pool.sparsity)]
    found = looked_up(context, 1, lambda inner: screen(request, inner, source))
    return plans.finished(
        "screen",
        works,
        found,
        raced(request),
        threads=race_threads(request),
        workers=request.workers or 1,
    )


def plan_finetune(request: FinetuneRequest, context: Context, source: str) -> Plan:
    """The plan of a training under a mask."""
    mask = resolve(source, context, ("select", "jackpot"))
    plans = Planner(mask.task, mask.weights, mask.data, context)
    sparsity = request.plan.tighten or mask.sparsity
    works = [
        plans.finetune(request.plan, max(1, mask.level), sparsity, drawn=mask.step == "select")
    ]
    found = looked_up(context, 1, lambda inner: finetune(request, inner, source))
    return plans.finished("finetune", works, found, request.plan)


def plan_dense(
    request: FinetuneRequest, context: Context, *, task: str, model: str, data: DataChoice
) -> Plan:
    """The plan of a dense training."""
    plans = Planner(task, model, data, context)
    plan = replace(request.plan, distill=LABELS_ONLY)
    works = [plans.finetune(plan, 0, 0.0)]
    found = looked_up(
        context,
        1,
        lambda inner: finetune_dense(request, inner, task=task, model=model, data=data),
    )
    return plans.finished("finetune", works, found, plan)


def plan_jackpot(request: JackpotRequest, context: Context) -> Plan:
    """The plan of a search."""
    start, plan = find_start(request, context), request.plan
    plans = Planner(start.task, start.weights, start.data, context)
    works: list[Work] = []
    if start.mask_digest is None:
        usual = RunRequest()
        dense = replace(usual.finetune.plan, seed=plan.seed, threads=plan.threads)
        works = dense_works(plans, replace(usual, finetune=replace(usual.finetune, plan=dense)))
    drawn = request.start in DRAWN_STARTS and request.start not in ("magnitude", "random")
    rows = request.calibration_rows if drawn else 0
    works.append(plans.jackpot(plan, rows, start.level, start.sparsity))
    found = looked_up(context, len(works), lambda inner: jackpot(request, inner))
    step = TrainPlan(batch_size=plan.batch_size, distill=LABELS_ONLY, threads=plan.threads)
    return plans.finished("jackpot", works, found, step)


def dense_works(plans: Planner, request: RunRequest) -> list[Work]:
    """The training of the dense model, if the given one has no head for the task."""
    if has_head(plans.folder, plans.spec):
        return []
    plan = replace(dense_training(request).plan, distill=LABELS_ONLY)
    return [plans.finetune(plan, 0, 0.0)]


def raced(request: ScreenRequest) -> TrainPlan:
    """A training like that of a race's candidate, to be timed."""
    distil = request.distilled is not False
    return TrainPlan(
        batch_size=request.batch_size,
        distill=request.distill if distil else LABELS_ONLY,
        dropout=request.dropout,
        precision=request.precision,
        seed=request.seed,
    )
