"""`sample`: draw a pool of candidate masks near good ones, and keep what redraws them.

Candidate 0 is the control, the deterministic magnitude mask at the same sparsity in every tensor. A
candidate with randomness around another centre (importance, allocation) brings that centre's
deterministic mask along, so that what the noise adds can be told from what the centre adds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.learn.batches import generator
from rpmask.learn.models import has_head, locate, skeleton
from rpmask.masks.importance import Statistics
from rpmask.masks.mask import Mask
from rpmask.masks.maskfile import load_mask, save_mask
from rpmask.masks.sampling import draw_masks
from rpmask.masks.weights import Prunable, SafetensorsWeights, find_prunable, weights_digest
from rpmask.records import Candidate, FinetuneResult, MaskRecipe, Pool
from rpmask.steps.context import Context, Tee, step_digest, versions
from rpmask.steps.inputs import load_data, prepare, source_digest
from rpmask.steps.poolcharts import Drawing, pool_charts
from rpmask.steps.requests import SampleRequest
from rpmask.tasks.spec import TaskSpec
from rpmask.tracking.study import Asked, Ledger
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

# The paper's public code cycles through these sampling ratios, at T = 0.2 around magnitude.
PAPER_RATIOS = (5e-5, 1e-4, 8e-5, 3e-4)
PAPER_TEMPERATURE = 0.2


def sample(request: SampleRequest, context: Context) -> dict[str, Any]:
    """Draw the pool and write it to MLflow."""
    from rpmask.tracking.registry import fetch, pin
    from rpmask.tracking.runs import StepKey

    request.check()
    data = load_data(request.task, request.data)
    spec = data.spec
    start = pin(context.tracker, request.start or request.model)
    teacher = pin(context.tracker, request.teacher or request.model)
    request = replace(request, task=spec.name, start=start, teacher=teacher)
    folder = fetch(context.tracker, start)
    _require_head(folder, spec, request)
    tensors = find_prunable(skeleton(folder, spec), request.include, request.exclude)
    source = SafetensorsWeights(locate(folder).weights)
    digest = weights_digest(source, tensors)
    parent = _parent_mask(request, context)
    params = {k: v for k, v in request.to_dict().items() if k not in ("storage",)}
    inputs = {
        "weights": digest,
        "parent": parent and parent.digest,
        "model": source_digest(context.tracker, start),
        "data": data.digests,
    }
    key = step_digest("sample", inputs, params)
    step_key = StepKey(
        step="sample",
        key=key,
        name=f"sample {spec.name} {percent(request.sparsity)} k={request.k}",
        task=spec.name,
        level=request.level,
        sparsity=request.sparsity,
        params=_shown_params(request),
        tags={"rpmask.parent": request.parent_run_id} if request.parent_run_id else {},
    )
    with context.tracker.open(step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This pool was drawn before: run {run.run_id}.")
            return run.result()
        context.console.say(
            f"Drawing {request.k} masks at {percent(request.sparsity)} over {len(tensors)} tensors, "
            f"{sum(t.numel for t in tensors):,} weights of {start}."
        )
        ledger = _ledger(request, context, run)
        try:
            return _draw(request, context, run, ledger, source, tensors, digest, parent, folder)
        except BaseException:
            ledger.abandon_unfinished()
            raise


def _require_head(folder: str, spec: TaskSpec, request: SampleRequest) -> None:
    """Racing and distilling from a head of random weights would measure nothing."""
    if not has_head(folder, spec):
        raise RpmaskError(
            f"'{request.model}' has no head trained for {spec.name}.",
            f"`rpmask run -t {spec.name} -m {request.model}` trains one first; or do it with `rpmask "
            f"finetune --dense -t {spec.name} -m {request.model}` and name what that registers.",
        )


def inside(request: SampleRequest, finetune_run_id: str, context: Context) -> SampleRequest:
    """The same request one level on: inside the mask of a finetune run, from its weights."""
    tracker = context.tracker
    run_id = tracker.step_of(finetune_run_id, "finetune")
    before = tracker.artifacts.record(run_id, "finetune.json", FinetuneResult)
    if before.mask_digest is None:
        raise RpmaskError(
            f"Run '{run_id}' trained a dense model; there is no mask to draw inside of.",
            "Name its registered version with --model instead.",
        )
    model = tracker.artifacts.json(run_id, "result.json")["model"]
    return replace(
        request,
        task=before.task,
        model=before.model,
        start=f"models:/{model['name']}/{model['version']}",
        teacher=before.teacher,
        level=before.level + 1,
        parent_run_id=run_id,
        data=before.data,
    )


def _draw(
    request: SampleRequest,
    context: Context,
    run: StepRun,
    ledger: Ledger,
    source: SafetensorsWeights,
    tensors: tuple[Prunable, ...],
    digest: str,
    parent: Mask | None,
    folder: str,
) -> dict[str, Any]:
    base = MaskRecipe(
        weights_digest=digest,
        seed=0,
        sparsity=request.sparsity,
        floor=request.floor,
        granularity=request.granularity,
        parent=parent.digest if parent else None,
    )
    planned = list(_candidates(request, base, ledger))
    kinds = sorted({recipe.importance for recipe, _ in planned} - {"magnitude"})
    statistics = _statistics(request, context, run, folder, tensors, kinds)
    recipes = [
        replace(recipe, importance_digest=statistics[recipe.importance].digest)
        if recipe.importance in statistics
        else recipe
        for recipe, _ in planned
    ]
    masks = draw_masks(recipes, source, tensors, statistics=statistics, parent=parent)
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
        weights_digest=digest,
        tensors=tuple(tensor.name for tensor in tensors),
        candidates=candidates,
        data=request.data,
        include=request.include,
        exclude=request.exclude,
        statistics={kind: found.digest for kind, found in statistics.items()},
        study=ledger.name,
        parent_run_id=request.parent_run_id,
        run_id=run.run_id,
        versions=versions(),
    )
    sizes = _write(run, pool, masks, statistics)
    drawing = Drawing(pool, masks, source, tensors, statistics, parent)
    run.log_charts(pool_charts(drawing), intro=_note(request, pool, sizes))
    run.metric("mask_bytes", sum(sizes))
    run.metric("kept", candidates[0].kept)
    run.metric("total", candidates[0].total)
    return run.finish(
        {
            "k": len(candidates),
            "candidates": [_row(candidate) for candidate in candidates],
            "mask_bytes": sum(sizes),
            "study": ledger.name,
        },
        _note(request, pool, sizes),
    )


def _parent_mask(request: SampleRequest, context: Context) -> Mask | None:
    if request.parent_run_id is None:
        return None
    path = context.tracker.artifacts.path(request.parent_run_id, "mask.safetensors")
    return load_mask(path)


def _ledger(request: SampleRequest, context: Context, run: StepRun) -> Ledger:
    name = f"{request.task}-{percent(request.sparsity)}-{run.run_id[:12]}"
    if request.like is not None:
        pool = context.tracker.artifacts.record(request.like, "pool.json", Pool)
        if pool.study is None:
            raise RpmaskError(f"Run '{request.like}' has no study.", "Name another pool.")
        name = pool.study
    # A sampler seeded by the request alone would propose the first pool again when continued.
    seed = int(generator(request.seed, "sampler", str(request.like or "")).integers(2**31))
    ledger = Ledger(request.storage, context.folder, name, sampler=request.sampler, seed=seed)
    ledger.abandon_unfinished()
    return ledger


def _candidates(
    request: SampleRequest, base: MaskRecipe, ledger: Ledger
) -> Iterator[tuple[MaskRecipe, int | None]]:
    """The recipes of a pool, each with its trial: the control, then centres before their noise."""
    centres: set[tuple[str, float]] = set()
    made = 0

    def seeded(recipe: MaskRecipe) -> MaskRecipe:
        seed = int(generator(request.seed, "candidate", str(made)).integers(2**31))
        return replace(recipe, seed=seed)

    def centre(importance: str, allocation: float) -> MaskRecipe:
        centres.add((importance, allocation))
        return seeded(replace(base, temperature=0.0, importance=importance, allocation=allocation))

    yield centre("magnitude", 0.0), None
    made = 1
    absent = [
        (importance, allocation)
        for importance in request.space.importances
        for allocation in request.space.allocations
        if (importance, allocation) != ("magnitude", 0.0)
    ]
    while made < request.k:
        if request.recipe == "paper":
            ratio = PAPER_RATIOS[(made - 1) % len(PAPER_RATIOS)]
            recipe = replace(base, temperature=PAPER_TEMPERATURE, sample_ratio=ratio)
            yield seeded(recipe), None
            made += 1
            continue
        left = [pair for pair in absent if pair not in centres]
        if made == request.k - 1 and left:  # no room for a new centre and its noise
            yield centre(*left[0]), None
            return
        asked = ledger.ask(request.space)
        if (asked.importance, asked.allocation) not in centres:
            yield centre(asked.importance, asked.allocation), None
            made += 1
        yield seeded(_noisy(base, asked)), asked.trial
        made += 1


def _noisy(base: MaskRecipe, asked: Asked) -> MaskRecipe:
    return replace(
        base,
        temperature=asked.temperature,
        sample_ratio=asked.sample_ratio,
        importance=asked.importance,
        allocation=asked.allocation,
    )


def _statistics(
    request: SampleRequest,
    context: Context,
    run: StepRun,
    folder: str,
    tensors: tuple[Prunable, ...],
    kinds: list[str],
) -> dict[str, Statistics]:
    """Activation norms and gradients on a seeded calibration set, where a recipe needs them."""
    if not kinds:
        return {}
    from rpmask.learn.calibrate import calibrate
    from rpmask.learn.models import load_classifier

    data = load_data(request.task, request.data)
    prepared = prepare(data, request.data, folder)
    with context.console.working("importance") as shown:
        return calibrate(
            load_classifier(folder, data.spec),
            prepared.train,
            data.spec,
            [tensor.name for tensor in tensors],
            kinds,
            rows=request.calibration_rows,
            seed=request.seed,
            observer=Tee(shown, run),
        )


def _write(
    run: StepRun, pool: Pool, masks: list[Mask], statistics: Mapping[str, Statistics]
) -> list[int]:
    """The pool, the packed masks and the statistics, as artifacts."""
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        for index, (candidate, mask) in enumerate(zip(pool.candidates, masks, strict=True)):
            path = Path(temporary) / mask_name(index)
            path.parent.mkdir(exist_ok=True)
            sizes.append(save_mask(mask, path, candidate.recipe))
        for kind, found in statistics.items():
            path = Path(temporary) / "statistics" / f"{kind}.safetensors"
            path.parent.mkdir(exist_ok=True)
            found.save(path)
        run.log_folder(Path(temporary))
    run.log_json("pool.json", pool.to_dict())
    return sizes


def mask_name(index: int) -> str:
    """The artifact that holds a candidate's mask."""
    return f"masks/candidate-{index:02d}.safetensors"


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


def _shown_params(request: SampleRequest) -> dict[str, Any]:
    space = request.space
    return {
        "task": request.task,
        "model": request.model,
        "sparsity": request.sparsity,
        "k": request.k,
        "seed": request.seed,
        "level": request.level,
        "recipe": request.recipe,
        "temperature": space.temperature,
        "sample_ratio": space.sample_ratio,
        "importance": space.importances,
        "allocation": space.allocations,
        "granularity": request.granularity,
        "calibration_rows": request.calibration_rows,
        "sampler": request.sampler,
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
