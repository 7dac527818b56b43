"""`rpmask run`: the whole pipeline, level by level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rpmask.cli.finetune import refuse_pace
from rpmask.cli.options import Given, fill, typed, verb
from rpmask.cli.plan_lines import announce
from rpmask.cli.sources import find_model, resolve_precision
from rpmask.cli.space import SPACE_OPTIONS, TypedSpace, fit_groups, refuse_space
from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError
from rpmask.masks.granularity import exact_sparsity, group_sparsity
from rpmask.randomized_masks import paper
from rpmask.ranks import world_size
from rpmask.settings import setting
from rpmask.steps.defaults import Tightened, Untrained, starting_point, task_defaults
from rpmask.steps.requests import RunRequest


@dataclass(frozen=True)
class TypedLevels:
    """The levels as a user types them."""

    levels: str | None = setting(
        None,
        "Rising sparsities, or cubic:N. If they end below --sparsity, the last training tightens the mask to "
        "it, or with --epochs 0 the last refit does",
        none="0.54; for the demo, language models and --recipe paper 0.54,0.83,0.92 and --sparsity",
    )
    one_shot: bool = setting(False, "One level, straight to --sparsity", "--one-shot")
    sparsity: float | None = setting(
        None, "Sparsity to reach in the end", "--sparsity", "-s", none="0.9375"
    )


@verb(
    skip=("like", "alpha", "teacher", "evaluations", "patience", "tighten"),
    defaults={
        "where the mask is tightened": fill(starting_point("default", ""), vars(Tightened())),
        "for the demo": starting_point("default", "demo"),
        "for wikitext2": starting_point("default", "wikitext2"),
        "with --recipe paper": starting_point("paper", ""),
    },
)
def run(
    levels: TypedLevels,
    request: RunRequest,
    space: TypedSpace,
    tracking: Tracking,
    given: Given,
) -> dict[str, Any]:
    """Run the whole pipeline, level by level; the same command continues after an interruption.

    Example: `rpmask run --task rte --model bert-base-uncased`
    """
    refuse_space(given, recipe=request.sample.recipe)
    if "precision" in given:  # resolve it once: a second measurement might come out otherwise
        given["precision"] = resolve_precision(given["precision"])
    request = with_levels(requested(given, space), levels, given)
    refuse_pace(given, request.finetune.plan.trains)
    request.check()
    sampling = request.sample
    model = find_model(sampling.task, sampling.data, given, tracking)
    from rpmask.steps.context import available_cores
    from rpmask.steps.pipeline import run_levels

    plan = replace(request.finetune.plan, threads=given.get("threads") or available_cores())
    request = replace(
        request,
        sample=replace(sampling, model=model),
        finetune=replace(request.finetune, plan=plan),
    )
    context = tracking.context()
    if "task" not in given:
        context.console.say("No --task is given: the task is the demo.")
    if tracking.plan:
        from rpmask.steps.plans import plan_run

        return plan_run(request, context).answer()
    if not tracking.silent and world_size() == 1:
        from rpmask.steps.plans import plan_run

        announce(plan_run(request, context), context)
    return run_levels(request, context)


def requested(given: Given, space: TypedSpace) -> RunRequest:
    """The defaults of the recipe and the task, with the options that were given."""
    recipe, task = given.get("recipe", "default"), given.get("task", "demo")
    kind = given.get("kind")
    # The last sparsity is that of the levels.
    options = {name: value for name, value in given.items() if name != "sparsity"}
    request = fill(starting_point(recipe, task, kind), options)
    plan = request.finetune.plan
    screen = replace(
        request.screen,
        full=request.screen.full and ("full" in given or "budget" not in given),
        distill=plan.distill,
        dropout=plan.dropout,
        freeze_embeddings=plan.freeze_embeddings,
        # The race scales no losses, which fp16 needs.
        precision="fp32" if plan.precision == "fp16" else plan.precision,
    )
    request = replace(request, screen=screen)
    if not plan.trains:  # prune without training: neither levels nor races train
        request = _untrained(request, given, task_defaults(task, kind).untrained)
    if typed(given, SPACE_OPTIONS):
        chosen = space.parsed(given, request.sample.space)
        request = replace(request, sample=replace(request.sample, space=chosen))
    if "batch_size" in given:
        request = replace(request, dense_batch_size=None)
    return replace(request, sample=fit_groups(request.sample, given))


def _untrained(request: RunRequest, given: Given, usual: Untrained) -> RunRequest:
    """The request of a run without training, with the options that were given."""
    sample, screen, plan = request.sample, request.screen, request.finetune.plan
    if sample.recipe == "default":
        sample = replace(sample, k=given.get("k", usual.k), space=usual.space)
    refitted = replace(plan, refit=given.get("refit", usual.rows), tighten=None)
    return replace(
        request,
        levels=paper.LEVELS,
        level_epochs=given.get("level_epochs", 0.0),
        distilled_epochs=given.get("distilled_epochs", 0.0),
        finetune=replace(request.finetune, plan=refitted),
        sample=replace(sample, calibration_rows=given.get("calibration_rows", usual.rows)),
        screen=replace(
            screen,
            budget=given.get("budget", 0.0),
            full=False,
            refit=given.get("race_refit"),
            examples=given.get("examples", usual.examples or screen.examples),
        ),
    )


def with_levels(request: RunRequest, typed: TypedLevels, given: Given) -> RunRequest:
    """The request with the levels as given; if they end below the last sparsity, it tightens the mask."""
    sampling, plan = request.sample, request.finetune.plan
    chosen, last = chosen_levels(request, typed)
    levels = tuple(exact_sparsity(sampling.granularity, level) for level in chosen)
    last = exact_sparsity(sampling.granularity, last)
    tightens = levels[-1] < last
    usual = task_defaults(sampling.task, given.get("kind")).tightened
    if tightens and usual and plan.trains and sampling.recipe == "default":
        plan = fill(replace(plan, **vars(usual)), given)
    plan = replace(plan, tighten=last if tightens else None)
    return replace(request, levels=levels, finetune=replace(request.finetune, plan=plan))


def chosen_levels(request: RunRequest, typed: TypedLevels) -> tuple[tuple[float, ...], float]:
    """The levels and the last sparsity: a list, a schedule, or the usual levels below the last sparsity.

    Of N:M there is only the last.
    """
    from rpmask.randomized_masks.levels import check_levels, parse_levels

    sparsity = typed.sparsity
    if typed.levels is not None:
        chosen = parse_levels(typed.levels, sparsity)
        if typed.one_shot and len(chosen) > 1:
            raise RpmaskError(
                f"--one-shot is one level, and --levels asks for {len(chosen)}.",
                "Leave one of the two out.",
            )
        return chosen, chosen[-1] if sparsity is None else sparsity
    fixed = group_sparsity(request.sample.granularity)
    last = (fixed or request.sparsity) if sparsity is None else sparsity
    none = typed.one_shot or fixed
    before = () if none else tuple(level for level in request.levels if level < last)
    levels = check_levels((*before, last))
    tightens = before and request.finetune.plan.tighten is not None
    return (before if tightens else levels), last
