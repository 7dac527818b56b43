"""`sample`: draw a pool of candidate masks near good ones, and keep what redraws them.

Candidate 0 is the control, the deterministic magnitude mask at the same sparsity in every tensor; the
rest are what `proposals` says.
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
from rpmask.steps.context import Context, Tee, available_cores, versions
from rpmask.steps.continuing import Earlier, continued, earlier, settled_space
from rpmask.steps.decides import step_digest
from rpmask.steps.densemodel import from_dense
from rpmask.steps.inputs import encoded, load_data, read_as, source_digest
from rpmask.steps.poolcharts import pool_charts
from rpmask.steps.poolmasks import load_parent, load_statistics, write_pool
from rpmask.steps.proposals import proposals
from rpmask.steps.requests import SampleRequest
from rpmask.steps.shown import sample_params
from rpmask.tasks.spec import TaskData
from rpmask.tracking.study import Study
from rpmask.train.models import skeleton, stored_weights
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

WORTH_SAYING = 0.01  # of the weights that are pruned, what is left dense beside them


def sample(request: SampleRequest, context: Context) -> dict[str, Any]:
    """Draw the pool and write it to MLflow."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import fetch, pin
    from rpmask.tracking.runs import StepKey

    request.check()
    before = earlier(request.like, context)
    request = settled_space(continued(request, before), before, context)
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
    params = {k: v for k, v in request.to_dict().items() if k not in ("storage", "like")}
    inputs = {
        "weights": digest,
        "parent": parent and parent.digest,
        "model": source_digest(context.tracker, start),
        "data": read_as(data, request.data),
        **_continues(before, context),
    }
    key = step_digest("sample", inputs, params)
    links = {
        "parent": request.parent_run_id,
        "like": request.like,
        "race": before.report and before.report.run_id,
    }
    step_key = StepKey(
        step="sample",
        key=key,
        name=f"sample {spec.name} {percent(request.sparsity)} k={request.k}",
        task=spec.name,
        level=request.level,
        sparsity=request.sparsity,
        params=sample_params(request),
        tags={f"rpmask.{name}": run_id for name, run_id in links.items() if run_id},
    )
    with open_run(context.tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This pool was drawn before: run {run.run_id}.")
            return run.result()
        context.console.say(
            f"Drawing {request.k} masks at {percent(request.sparsity)} over {len(tensors)} tensors, "
            f"{sum(t.numel for t in tensors):,} weights of {start}."
        )
        if not request.include and not request.exclude:
            _say_what_is_left(context, left_dense(network, tensors), tensors)
        ledger = _ledger(request, context, run, before)
        base = MaskRecipe(
            weights_digest=digest,
            seed=0,
            sparsity=request.sparsity,
            floor=request.floor,
            granularity=request.granularity,
            parent=parent.digest if parent else None,
        )
        try:
            planned = list(proposals(request, base, ledger, run.run_id, before))
            if request.k > 1 and all(recipe.temperature == 0 for recipe, _ in planned):
                context.console.say(
                    f"All {request.k} are masks without noise; a larger --k has room for draws around them."
                )
            kinds = {recipe.importance for recipe, _ in planned} - {"magnitude"}
            statistics = _statistics(request, context, run, data, folder, tensors, sorted(kinds))
            return _draw(
                request, run, ledger.name, planned, statistics, source, tensors, parent, before
            )
        except BaseException:
            ledger.abandon(run.run_id)
            raise


def _say_what_is_left(
    context: Context, left: Mapping[str, int], tensors: tuple[Prunable, ...]
) -> None:
    """A model is less sparse than its mask where its blocks have matrices that no mask can name."""
    share = sum(left.values()) / sum(tensor.numel for tensor in tensors)
    if share >= WORTH_SAYING:
        context.console.say(
            f"{sum(left.values()):,} more weights of the blocks stay dense, as their modules are of kinds "
            f"that rpmask does not prune: {some_of(list(left))}."
        )


def _draw(
    request: SampleRequest,
    run: StepRun,
    study: str,
    planned: list[tuple[MaskRecipe, int | None]],
    statistics: Mapping[str, Statistics],
    source: WeightSource,
    tensors: tuple[Prunable, ...],
    parent: Mask | None,
    before: Earlier,
) -> dict[str, Any]:
    recipes = [
        replace(recipe, importance_digest=statistics[recipe.importance].digest)
        if recipe.importance in statistics
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
    pool = Pool(
        task=request.task,
        model=request.model,
        start=request.start or request.model,
        teacher=request.teacher or request.model,
        level=request.level,
        sparsity=request.sparsity,
        seed=request.seed,
        weights_digest=planned[0][0].weights_digest,
        tensors=tuple(tensor.name for tensor in tensors),
        candidates=candidates,
        data=request.data,
        include=request.include,
        exclude=request.exclude,
        statistics={kind: found.digest for kind, found in statistics.items()},
        study=study,
        generation=before.generation,
        looked=before.looked,
        parent_run_id=request.parent_run_id,
        run_id=run.run_id,
        versions=versions(),
    )
    sizes = write_pool(run, pool, masks, statistics)
    drawn = pool_charts(pool, masks, source, tensors, statistics=statistics, parent=parent)
    run.log_charts(drawn, intro=_note(request, pool, sizes))
    run.metric("mask_bytes", sum(sizes))
    run.metric("kept", candidates[0].kept)
    run.metric("total", candidates[0].total)
    return run.finish(
        {
            "k": len(candidates),
            "candidates": [_row(candidate) for candidate in candidates],
            "mask_bytes": sum(sizes),
            "study": study,
        },
        _note(request, pool, sizes),
    )


def _ledger(request: SampleRequest, context: Context, run: StepRun, before: Earlier) -> Study:
    """The pool's study: a new one, or the one it continues, its lost trials queued again."""
    if before.pool is None:
        name = f"{request.task}-{percent(request.sparsity)}-{run.run_id[:12]}"
        return Study(request.storage, context.folder, name)
    ledger = Study(request.storage, context.folder, before.study or "")
    for owner in ledger.owners() - {run.run_id}:
        if context.tracker.lost(owner):
            ledger.requeue(owner)
    return ledger


def _continues(before: Earlier, context: Context) -> dict[str, Any]:
    """What a pool that continues another depends on: how that one was drawn, and what its race told."""
    if before.pool is None:
        return {}
    drawn = context.tracker.tag_of(before.pool.run_id, "key")
    return {"continues": {"pool": drawn, "race": before.told}}


def _statistics(
    request: SampleRequest,
    context: Context,
    run: StepRun,
    data: TaskData,
    folder: str,
    tensors: tuple[Prunable, ...],
    kinds: list[str],
) -> dict[str, Statistics]:
    """Activation norms and gradients on a seeded calibration set, where a recipe needs them."""
    known: dict[str, Statistics] = {}
    if request.like is not None:  # those of the pool it continues, so that its best can be redrawn
        pool = context.tracker.artifacts.record(request.like, "pool.json", Pool)
        known = load_statistics(pool, set(pool.statistics), context)
    missing = [kind for kind in kinds if kind not in known]
    if missing:
        from rpmask.randomized_masks.calibrate import calibrate
        from rpmask.train.batches import calibration_rows
        from rpmask.train.models import load_classifier

        rows = calibration_rows(len(data.train), request.calibration_rows, request.seed)
        with context.console.working("importance") as shown:
            known |= calibrate(
                load_classifier(folder, data.spec),
                encoded(data.train.select(rows), data.spec, request.data, folder),
                data.spec,
                [tensor.name for tensor in tensors],
                missing,
                seed=request.seed,
                observer=Tee(shown, run),
            )
    return known


def _row(candidate: Candidate) -> dict[str, Any]:
    recipe = candidate.recipe
    return {
        "id": recipe.id,
        "mask_digest": candidate.mask_digest,
        "seed": recipe.seed,
        "temperature": recipe.temperature,
        "sample_ratio": recipe.sample_ratio,
        "importance": recipe.importance,
        "allocation": recipe.allocation,
        "granularity": recipe.granularity,
        "kept": candidate.kept,
        "total": candidate.total,
        "overlap": candidate.overlap_with_control,
        "control": candidate.control,
    }


def _note(request: SampleRequest, pool: Pool, sizes: list[int]) -> str:
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
