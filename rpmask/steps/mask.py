"""`mask`: look at a mask, compare two, prove one, draw one again from its recipe.

A mask is named by its file, or as RUN_ID#CANDIDATE of a `sample` run, which `rpmask jackpot` spells
RUN_ID:CANDIDATE; RUN_ID alone names the mask that a `select`, `finetune` or `jackpot` run holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, read_header, save_mask
from rpmask.records import MaskRecipe, Pool
from rpmask.steps.context import Context
from rpmask.steps.poolmasks import load_ingredients, mask_name


@dataclass(frozen=True)
class FoundMask:
    """A mask, the recipe its file holds, and the pool it belongs to if it was named by one."""

    name: str
    mask: Mask
    recipe: MaskRecipe | None
    pool: Pool | None = None
    candidate: int | None = None


def find_mask(reference: str, context: Context) -> FoundMask:
    """The mask of a file, of RUN_ID#CANDIDATE, or of RUN_ID."""
    if Path(reference).is_file():
        return FoundMask(reference, load_mask(reference), read_header(reference).recipe)
    if "#" in reference or re.match("[0-9a-f]{32}:", reference):
        pool, index = _candidate(reference, context)
        path = context.tracker.artifacts.path(pool.run_id, mask_name(index))
        return FoundMask(reference, load_mask(path), pool.candidates[index].recipe, pool, index)
    if not re.fullmatch("[0-9a-f]{32}", reference):
        raise RpmaskError(
            f"There is no mask file '{reference}'.", "Name a file, or RUN_ID#CANDIDATE of a pool."
        )
    context.require_store()
    path = context.tracker.artifacts.path(reference, "mask.safetensors")
    return FoundMask(reference, load_mask(path), read_header(path).recipe)


def _candidate(reference: str, context: Context) -> tuple[Pool, int]:
    """The pool and the index that RUN_ID#CANDIDATE names."""
    run_id, _, number = reference.replace(":", "#").partition("#")
    context.require_store()
    tracker = context.tracker
    pool = tracker.artifacts.record(tracker.step_of(run_id, "sample"), "pool.json", Pool)
    if not number.isdecimal() or int(number) >= len(pool.candidates):
        raise RpmaskError(
            f"Run '{run_id}' has no candidate '{number}'.",
            f"Name one of 0 to {len(pool.candidates) - 1}: RUN_ID#CANDIDATE.",
        )
    return pool, int(number)


def show_mask(reference: str, context: Context) -> dict[str, Any]:
    """What a mask keeps, tensor by tensor, and the recipe that drew it."""
    found = find_mask(reference, context)
    return {
        "mask": found.name,
        "digest": found.mask.digest,
        "sparsity": found.mask.sparsity,
        "kept": found.mask.kept(),
        "total": found.mask.total(),
        "recipe": found.recipe.to_dict() if found.recipe else None,
        "tensors": {name: count.to_dict() for name, count in found.mask.counts().items()},
    }


def diff_masks(one: str, other: str, context: Context) -> dict[str, Any]:
    """How much of what the first mask keeps the second keeps too."""
    first, second = find_mask(one, context), find_mask(other, context)
    return {
        "masks": [first.name, second.name],
        "digests": [first.mask.digest, second.mask.digest],
        "kept": [first.mask.kept(), second.mask.kept()],
        "overlap": first.mask.overlap(second.mask),
        "same": first.mask.digest == second.mask.digest,
        "inside": second.mask.contains(first.mask),
    }


def verify_mask(reference: str, context: Context) -> dict[str, Any]:
    """Read a mask with every check; with a pool, compare it with what the pool says of it."""
    found = find_mask(reference, context)
    if found.pool is not None and found.candidate is not None:
        expected = found.pool.candidates[found.candidate].mask_digest
        if found.mask.digest != expected:
            raise RunFailed(
                f"'{reference}' has the digest {found.mask.digest[:16]}, its pool says "
                f"{expected[:16]}.",
                "The artifact was changed or swapped; draw the pool again.",
            )
    return {"mask": found.name, "digest": found.mask.digest, "kept": found.mask.kept(), "ok": True}


def redraw_mask(reference: str, context: Context, out: Path | None = None) -> dict[str, Any]:
    """Draw a pool's candidate again from its recipe; the bits that the pool names must come out.

    The mask file itself is not read, so a damaged one can be replaced.
    """
    from rpmask.randomized_masks.mask_generation import draw_mask
    from rpmask.steps.inputs import spec_of
    from rpmask.tracking.registry import fetch
    from rpmask.train.models import stored_weights

    pool, index = _candidate(reference, context)
    candidate = pool.candidates[index]
    recipe = candidate.recipe
    folder = fetch(context.tracker, pool.start)
    spec = spec_of(pool.task, pool.data)
    needed = load_ingredients(pool, [recipe], folder, spec, context)
    again = draw_mask(
        recipe,
        stored_weights(folder, spec, needed.tensors),
        needed.tensors,
        statistics=needed.statistics,
        parent=needed.parent,
    )
    if again.digest != candidate.mask_digest:
        raise RunFailed(
            f"Drawing '{reference}' again gives {again.digest[:16]}, its pool says "
            f"{candidate.mask_digest[:16]}.",
            "The weights, the statistics or rpmask have changed since the pool was drawn.",
        )
    if out is not None:
        save_mask(again, out, recipe)
    return {"mask": reference, "digest": again.digest, "recipe": recipe.id, "ok": True}
