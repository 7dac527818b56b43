"""`mask`: show a mask, compare two, verify one, draw one again from its recipe.

A mask is named by its file or by what `resolve.py` reads: RUN_ID#CANDIDATE, RUN_ID, models:/NAME@ALIAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, read_header, save_mask
from rpmask.records import MaskRecipe
from rpmask.steps.context import Context
from rpmask.steps.resolve import names_a_run, resolve


@dataclass(frozen=True)
class NamedMask:
    """A mask, the recipe in its file, and the digest in the record of its run."""

    mask: Mask
    recipe: MaskRecipe | None
    recorded: str | None = None


def find_mask(name: str, context: Context) -> NamedMask:
    """Load the mask of a file or of a run."""
    path, recorded = Path(name), None
    if not path.is_file():
        if not names_a_run(name):
            raise RpmaskError(
                f"There is no mask file '{name}'.", "Name a file, or RUN_ID#CANDIDATE of a pool."
            )
        context.require_store()
        found = resolve(name, context)
        path = context.tracker.artifacts.path(found.run_id or "", found.mask_file)
        recorded = found.mask_digest
    return NamedMask(load_mask(path), read_header(path).recipe, recorded)


def show_mask(name: str, context: Context) -> dict[str, Any]:
    """Return what a mask keeps, tensor by tensor, and the recipe that drew it."""
    found = find_mask(name, context)
    return {
        "mask": name,
        "digest": found.mask.digest,
        "sparsity": found.mask.sparsity,
        "kept": found.mask.kept(),
        "total": found.mask.total(),
        "recipe": found.recipe.to_dict() if found.recipe else None,
        "tensors": {tensor: count.to_dict() for tensor, count in found.mask.counts().items()},
    }


def diff_masks(one: str, other: str, context: Context) -> dict[str, Any]:
    """Return the share of the first mask's kept weights that the second mask keeps too."""
    first, second = find_mask(one, context).mask, find_mask(other, context).mask
    return {
        "masks": [one, other],
        "digests": [first.digest, second.digest],
        "kept": [first.kept(), second.kept()],
        "overlap": first.overlap(second),
        "same": first.digest == second.digest,
        "inside": second.contains(first),
    }


def verify_mask(name: str, context: Context) -> dict[str, Any]:
    """Read a mask with every check, and compare the mask of a run with the run's record."""
    found = find_mask(name, context)
    digest = found.mask.digest
    if found.recorded not in (None, digest):
        raise RunFailed(
            f"'{name}' has the digest {digest[:16]}, its run recorded {str(found.recorded)[:16]}.",
            "The artifact was changed or swapped; run the step again with --force.",
        )
    return {"mask": name, "digest": digest, "kept": found.mask.kept(), "ok": True}


def redraw_mask(name: str, context: Context, out: Path | None = None) -> dict[str, Any]:
    """Draw a pool's candidate again from its recipe, and compare its digest with the pool's.

    The mask file itself is not read, so a damaged one can be replaced.
    """
    from rpmask.steps.inputs import spec_of
    from rpmask.steps.pool_artifacts import redraw
    from rpmask.tracking.registry import fetch

    context.require_store()
    found = resolve(name, context, steps=("sample",))
    assert found.pool is not None
    assert found.candidate is not None
    pool, candidate = found.pool, found.pool.candidates[found.candidate]
    folder = fetch(context.tracker, pool.start)
    spec = spec_of(pool.task, pool.data)
    again = redraw(pool, [candidate.recipe], folder, spec, context)[0]
    if again.digest != candidate.mask_digest:
        raise RunFailed(
            f"Drawing '{name}' again gives {again.digest[:16]}, its pool recorded "
            f"{candidate.mask_digest[:16]}.",
            "The weights, the statistics or rpmask have changed since the pool was drawn.",
        )
    if out is not None:
        save_mask(again, out, candidate.recipe)
    return {"mask": name, "digest": again.digest, "recipe": candidate.recipe.id, "ok": True}
