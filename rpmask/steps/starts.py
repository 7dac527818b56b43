"""Where a jackpot search begins: a mask drawn from the weights, or one that a run or the registry holds.

`magnitude`, `random` or an importance are drawn. `RUN_ID:3`, or as `rpmask mask` spells it `RUN_ID#3`, is
a candidate of a sample run, `RUN_ID` the mask of a select, finetune or jackpot run, and
`models:/NAME@ALIAS` that of the run which registered the version. A mask that exists brings its task, its
data and the weights it was drawn from along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable
from rpmask.records import DataChoice, MaskRecipe, Pool, Selection
from rpmask.results import FinetuneResult, JackpotResult
from rpmask.steps.context import Context
from rpmask.steps.jackpot_request import DRAWN_STARTS, JackpotRequest
from rpmask.steps.material import held_mask
from rpmask.steps.poolmasks import mask_name

HOT = 1e9  # a temperature at which every weight is as likely as any other


@dataclass(frozen=True)
class Origin:
    """A start and what comes with it. `weights` is where the frozen weights are read from.

    run_id is the run that holds the mask, and kind what tells starts apart that have one road behind them.
    """

    name: str
    task: str
    model: str
    weights: str
    data: DataChoice
    sparsity: float
    level: int = 1
    mask: Mask | None = None
    run_id: str | None = None
    kind: str = ""


def find_origin(request: JackpotRequest, context: Context) -> Origin:
    """Resolve the start that was asked for."""
    if request.start in DRAWN_STARTS:
        model = request.model or request.task
        return Origin(
            request.start,
            request.task,
            model,
            model,
            request.data,
            request.sparsity,
            kind=request.start,
        )
    origin = _held(request.start, context)
    if request.model is None:
        return origin
    return replace(origin, model=request.model, weights=request.model)


def start_recipe(
    request: JackpotRequest, weights_digest: str, importance_digest: str | None
) -> MaskRecipe:
    """The recipe of a start that is drawn: deterministic, or uniformly random at the same counts."""
    random = request.start == "random"
    return MaskRecipe(
        weights_digest=weights_digest,
        seed=request.plan.seed,
        sparsity=request.sparsity,
        temperature=HOT if random else 0.0,
        votes=1 if random else None,
        importance="magnitude" if random else request.start,
        importance_digest=importance_digest,
        allocation=request.allocation,
        floor=request.floor,
    )


def check_fits(mask: Mask, tensors: tuple[Prunable, ...], origin: Origin) -> None:
    """Refuse a mask of other tensors than the model has."""
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    for name in mask.names:
        if shapes.get(name) != mask.shape(name):
            raise RpmaskError(
                f"The start '{origin.name}' masks '{name}' {mask.shape(name)}, which the model "
                + (f"has as {shapes[name]}." if name in shapes else "does not have."),
                "Leave --model out to search the weights the mask was drawn from.",
            )


def _held(start: str, context: Context) -> Origin:
    """The mask of a run, found by its id or through the registry."""
    from rpmask.tracking.registry import is_mlflow_address, run_of

    tracker = context.tracker
    run_id, _, index = start.replace("#", ":").partition(":")
    if is_mlflow_address(start):
        run_id, index = run_of(tracker, start), ""
    elif not _is_run_id(run_id):
        raise RpmaskError(
            f"There is no start '{start}'.",
            f"Give {', '.join(DRAWN_STARTS)}, a run's id, RUN_ID:INDEX for a candidate of a pool, or "
            "models:/NAME@ALIAS.",
        )
    step = tracker.step_name(run_id)
    records = tracker.artifacts
    if step == "sample":
        return _candidate(run_id, index, context)
    if step == "select":
        selection = records.record(run_id, "selection.json", Selection)
        pool = records.record(selection.pool_run_id, "pool.json", Pool)
        mask = held_mask(context, run_id, selection.mask_digest)
        return _drawn_in(pool, start, mask, run_id, step)
    if step == "finetune":
        tuned = records.record(run_id, "finetune.json", FinetuneResult)
        if tuned.mask_digest is None:
            raise RpmaskError(
                f"Run '{run_id}' trained a dense model; there is no mask to start from.",
                "Name it with --model, and start from magnitude.",
            )
        mask = held_mask(context, run_id, tuned.mask_digest)
        # The trained weights are zero where it drops; the dense ones are what is left to search.
        return Origin(
            name=start,
            task=tuned.task,
            model=tuned.model,
            weights=tuned.teacher,
            data=tuned.data,
            sparsity=tuned.sparsity,
            level=tuned.level,
            mask=mask,
            run_id=run_id,
            kind=step,
        )
    if step == "jackpot":
        found = records.record(run_id, "jackpot.json", JackpotResult)
        mask = held_mask(context, run_id, found.mask_digest)
        return Origin(
            name=start,
            task=found.task,
            model=found.model,
            weights=found.weights,
            data=found.data,
            sparsity=found.sparsity,
            level=found.level,
            mask=mask,
            run_id=run_id,
            kind=step,
        )
    raise RpmaskError(
        f"Run '{run_id}' is a `{step}`, which has no mask.",
        "Start from a sample (RUN_ID:INDEX), select, finetune or jackpot run.",
    )


def _candidate(run_id: str, index: str, context: Context) -> Origin:
    pool = context.tracker.artifacts.record(run_id, "pool.json", Pool)
    last = len(pool.candidates) - 1
    if not index.isdecimal() or int(index) > last:
        raise RpmaskError(
            f"'{run_id}:{index}' does not name a candidate: the pool has 0 to {last}.",
            f"Write {run_id}:0.",
        )
    number = int(index)
    digest = pool.candidates[number].mask_digest
    mask = held_mask(context, run_id, digest, mask_name(number))
    return _drawn_in(pool, f"{run_id}:{number}", mask, run_id, f"candidate {number}")


def _drawn_in(pool: Pool, name: str, mask: Mask, run_id: str, kind: str) -> Origin:
    """A mask of a pool, over the weights that the pool was drawn from."""
    return Origin(
        name=name,
        task=pool.task,
        model=pool.model,
        weights=pool.start,
        data=pool.data,
        sparsity=pool.sparsity,
        level=pool.level,
        mask=mask,
        run_id=run_id,
        kind=kind,
    )


def _is_run_id(text: str) -> bool:
    return len(text) == 32 and all(letter in "0123456789abcdef" for letter in text)
