"""The starting mask of a jackpot search: drawn from the weights, or held by a run or the registry.

`magnitude`, `random` and the importances are drawn; `resolve.py` resolves any other start, which brings its
task, its data and the weights that it was drawn from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable
from rpmask.randomized_masks.importance import Statistics
from rpmask.records import MaskRecipe
from rpmask.steps.context import Context, Tee
from rpmask.steps.inputs import Prepared
from rpmask.steps.jackpot_request import DRAWN_STARTS, JackpotRequest
from rpmask.steps.resolve import Resolved, names_a_run, resolve

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun

HOT = 1e9  # the temperature of a random start: every weight is equally likely


def find_start(request: JackpotRequest, context: Context) -> Resolved:
    """Resolve the start: a mask that will be drawn, or one that a run or the registry holds."""
    start = request.start
    if start in DRAWN_STARTS:
        model = request.model or request.task
        return Resolved(
            task=request.task,
            model=model,
            weights=model,
            level=1,
            sparsity=request.sparsity,
            data=request.data,
            name=start,
            step=start,
        )
    if not names_a_run(start):
        raise RpmaskError(
            f"There is no start '{start}'.",
            f"Give {', '.join(DRAWN_STARTS)}, a run's id, RUN_ID#CANDIDATE of a pool, or models:/NAME@ALIAS.",
        )
    found = resolve(start, context)
    if found.mask_digest is None:
        raise RpmaskError(
            f"Run '{found.run_id}' trained a dense model; there is no mask to start from.",
            "Name it with --model, and start from magnitude.",
        )
    if request.model is None:
        return found
    return replace(found, model=request.model, weights=request.model)


def check_fits(mask: Mask, tensors: tuple[Prunable, ...], name: str) -> None:
    """Refuse a mask over other tensors than the model's."""
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    for tensor in mask.names:
        if shapes.get(tensor) != mask.shape(tensor):
            raise RpmaskError(
                f"The start '{name}' masks '{tensor}' {mask.shape(tensor)}, which the model "
                + (f"has as {shapes[tensor]}." if tensor in shapes else "does not have."),
                "Leave --model out to search the weights the mask was drawn from.",
            )


def drawn_start(
    request: JackpotRequest,
    context: Context,
    run: StepRun,
    prepared: Prepared,
    folder: str,
    tensors: tuple[Prunable, ...],
    digest: str,
) -> Mask:
    """Draw the starting mask: deterministic, or uniformly random with the same counts."""
    from rpmask.randomized_masks.calibrate import calibrate
    from rpmask.randomized_masks.mask_generation import draw_mask
    from rpmask.train.batches import calibration_rows
    from rpmask.train.models import load_classifier, stored_weights

    random = request.start == "random"
    seed = request.plan.seed
    statistics: dict[str, Statistics] = {}
    if request.start not in ("magnitude", "random"):
        rows = calibration_rows(len(prepared.train.labels), request.calibration_rows, seed)
        with context.console.working("importance") as shown:
            statistics = calibrate(
                load_classifier(folder, prepared.spec, seed=seed),
                prepared.train.take(rows),
                prepared.spec,
                [tensor.name for tensor in tensors],
                [request.start],
                seed=seed,
                observer=Tee(shown, run),
            )
    found = statistics.get(request.start)
    recipe = MaskRecipe(
        weights_digest=digest,
        seed=seed,
        sparsity=request.sparsity,
        temperature=HOT if random else 0.0,
        votes=1 if random else None,
        importance="magnitude" if random else request.start,
        importance_digest=found.digest if found else None,
        allocation=request.allocation,
        floor=request.floor,
    )
    source = stored_weights(folder, prepared.spec, tensors)
    return draw_mask(recipe, source, tensors, statistics=statistics)
