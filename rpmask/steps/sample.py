"""`sample`: draw a pool of candidate masks, and store the recipes that redraw them.

Candidate 0 is the control, the deterministic magnitude mask with the same sparsity in every tensor;
`proposals.py` chooses the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rpmask.masks.mask import Mask
from rpmask.masks.masked import check_alive
from rpmask.masks.weights import (
    Prunable,
    WeightSource,
    find_prunable,
    left_dense,
    some_of,
    weights_digest,
)
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.records import Candidate, MaskRecipe, Pool
from rpmask.steps.context import Context, available_cores, versions
from rpmask.steps.dense_model import from_dense
from rpmask.steps.frame import Done, Step, changed, log_outputs, run_step
from rpmask.steps.inputs import data_params, load_data, read_as, source_digest
from rpmask.steps.pool_artifacts import load_parent, write_pool
from rpmask.steps.pool_statistics import Planned, pool_statistics
from rpmask.steps.poolcharts import pool_charts
from rpmask.steps.previous_pool import PreviousPool, continue_pool, find_previous, open_study
from rpmask.steps.proposals import proposals
from rpmask.steps.requests import SampleRequest
from rpmask.train.models import skeleton, stored_weights
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

REPORTED_SHARE = 0.01  # share of the pruned weights from which the weights left dense are reported


def sample(
    request: SampleRequest, context: Context, previous: PreviousPool | None = None
) -> dict[str, Any]:
    """Draw the pool; `previous` is the pool that `request.like` names, if the caller has read it."""
    from rpmask.tracking.registry import fetch, pin

    request.check()
    previous = previous or find_previous(request.like, context)
    request = continue_pool(request, previous, context)
    request = from_dense(request, request.seed, available_cores(), context)
    data = load_data(request.task, request.data)
    spec = data.spec
    start = pin(context.tracker, request.start or request.model)
    teacher = pin(context.tracker, request.teacher or request.model)
    request = replace(request, task=spec.name, start=start, teacher=teacher)
    folder = fetch(context.tracker, start)
    network = skeleton(folder, spec)
    tensors = find_prunable(network, request.include, request.exclude)
    source = stored_weights(folder, spec, tensors)
    digest = weights_digest(source, tensors)
    parent = load_parent(request.parent_run_id, context)
    parent_digest = parent.digest if parent else None
    links = {
        "parent": request.parent_run_id,
        "like": request.like,
        "race": previous.report.run_id if previous.report else None,
    }
    step = Step(
        name="sample",
        title=f"sample {spec.name} {percent(request.sparsity)} k={request.k}",
        task=spec.name,
        level=request.level,
        sparsity=request.sparsity,
        inputs={
            "weights": digest,
            "parent": parent_digest,
            "model": source_digest(context.tracker, start),
            "data": read_as(data, request.data),
            **previous.key_inputs(context),
        },
        decides=request.without("storage", "like"),
        params=sample_params(request),
        tags={f"rpmask.{name}": run_id for name, run_id in links.items() if run_id},
    )

    def work(run: StepRun) -> Done:
        context.console.say(
            f"Drawing {request.k} masks at {percent(request.sparsity)} over {len(tensors)} tensors, "
            f"{sum(t.numel for t in tensors):,} weights of {start}."
        )
        if not request.include and not request.exclude:
            _say_what_is_left(context, left_dense(network, tensors), tensors)
        study = open_study(request, previous, run.run_id, context)
        base = MaskRecipe(
            weights_digest=digest,
            seed=0,
            sparsity=request.sparsity,
            floor=request.floor,
            granularity=request.granularity,
            parent=parent_digest,
        )
        try:
            planned = list(proposals(request, base, study, run.run_id, previous))
            if request.k > 1 and all(recipe.temperature == 0 for recipe, _ in planned):
                context.console.say(
                    f"All {request.k} masks are deterministic; raise --k to add random draws around them."
                )
            statistics = pool_statistics(
                request, previous, context, run, data, folder, tensors, planned, parent
            )
            candidates, masks = _draw(planned, statistics, source, tensors, parent)
        except BaseException:
            study.abandon(run.run_id)
            raise
        pool = Pool(
            task=request.task,
            model=request.model,
            start=start,
            teacher=teacher,
            level=request.level,
            sparsity=request.sparsity,
            seed=request.seed,
            weights_digest=digest,
            tensors=tuple(tensor.name for tensor in tensors),
            candidates=candidates,
            data=request.data,
            include=request.include,
            exclude=request.exclude,
            statistics={kind: found.digest for kind, found in statistics.items()},
            study=study.name,
            generation=previous.generation + 1,
            looked=previous.compared,
            parent_run_id=request.parent_run_id,
            run_id=run.run_id,
            versions=versions("sample"),
        )
        sizes = write_pool(run, pool, masks, statistics)
        note = _note(pool, sizes)
        log_outputs(
            run,
            charts=pool_charts(pool, masks, source, tensors, statistics=statistics, parent=parent),
            intro=note,
            metrics={
                "mask_bytes": sum(sizes),
                "kept": candidates[0].kept,
                "total": candidates[0].total,
            },
        )
        result = {
            "k": len(candidates),
            "candidates": [_row(candidate) for candidate in candidates],
            "mask_bytes": sum(sizes),
            "study": pool.study,
        }
        return Done(result, note)

    return run_step(step, context, work)


def sample_params(request: SampleRequest) -> dict[str, Any]:
    """Parameters that describe how a pool is drawn; unusual options and data only where they were given."""
    space = request.space
    return {
        **request.pick(*("task", "model", "sparsity", "k", "seed", "level", "recipe")),
        "temperature": space.spelled("temperature"),
        "sample_ratio": space.spelled("sample_ratio"),
        "importance": space.importances,
        "allocation": space.allocations,
        **request.pick("granularity", "calibration_rows", "substeps", "sampler"),
        **changed(request, "floor", "include", "exclude"),
        **data_params(request.data),
    }


def _say_what_is_left(
    context: Context, left: Mapping[str, int], tensors: tuple[Prunable, ...]
) -> None:
    """Report matrices that masks cannot cover: they make the model less sparse than its mask."""
    share = sum(left.values()) / sum(tensor.numel for tensor in tensors)
    if share >= REPORTED_SHARE:
        context.console.say(
            f"{sum(left.values()):,} more weights in the blocks stay dense: rpmask does not prune "
            f"their module types: {some_of(list(left))}."
        )


def _draw(
    planned: Planned,
    statistics: Mapping[str, Statistics],
    source: WeightSource,
    tensors: tuple[Prunable, ...],
    parent: Mask | None,
) -> tuple[tuple[Candidate, ...], list[Mask]]:
    """Draw the masks of the recipes, with the digest of its statistics filled in."""
    recipes = [
        replace(recipe, importance_digest=found.digest, substeps=found.substeps)
        if (found := statistics.get(recipe.importance))
        else recipe
        for recipe, _ in planned
    ]
    masks = draw_masks(recipes, source, tensors, statistics=statistics, parent=parent)
    check_alive(masks, source)
    candidates = tuple(
        Candidate(
            recipe=recipe,
            mask_digest=mask.digest,
            overlap_with_control=masks[0].overlap(mask),
            tensors=mask.counts(),
            control=index == 0,
            trial=trial,
        )
        for index, (recipe, mask, (_, trial)) in enumerate(
            zip(recipes, masks, planned, strict=True)
        )
    )
    return candidates, masks


def _row(candidate: Candidate) -> dict[str, Any]:
    recipe = candidate.recipe
    return {
        "id": recipe.id,
        **recipe.pick(
            "seed", "temperature", "sample_ratio", "importance", "allocation", "granularity"
        ),
        **candidate.pick("mask_digest", "control"),
        "kept": candidate.kept,
        "total": candidate.total,
        "overlap": candidate.overlap_with_control,
    }


def _note(pool: Pool, sizes: list[int]) -> str:
    total = pool.candidates[0].total
    bits = 8 * sum(sizes) / len(sizes) / total
    return (
        f"**{len(pool.candidates)} candidate masks** for `{pool.task}` at "
        f"{percent(pool.sparsity)}, drawn from `{pool.start}` (level {pool.level}, "
        f"{len(pool.tensors)} tensors, {total:,} weights). Candidate 0 is the control, the "
        f"magnitude mask.\n\nThe masks take {sum(sizes):,} bytes, {bits:.3f} bits a weight. "
        f"`pool.json` holds the recipe that redraws each of them.\n\n"
        f"Next: `rpmask screen --from {pool.run_id}`"
    )
