"""`rpmask mask show|diff|verify|redraw`: inspect masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rpmask.cli.app import app
from rpmask.cli.options import verb
from rpmask.cli.tracking import Tracking
from rpmask.words import percent

mask_app = typer.Typer(
    no_args_is_help=True,
    help="Inspect masks: files, or RUN_ID#CANDIDATE of a pool.\n\nExample: `rpmask mask show RUN_ID#0`",
)
app.add_typer(mask_app, name="mask")

Which = Annotated[
    str, typer.Argument(help="A mask file, RUN_ID#CANDIDATE, RUN_ID, or models:/NAME@ALIAS.")
]
mask_verb = verb(skip=("config", "plan", "system_metrics", "force", "quiet"), group=mask_app)


def _answer(found: dict[str, Any], lines: list[str], tracking: Tracking) -> None:
    print(json.dumps(found) if tracking.as_json else "\n".join(lines))


@mask_verb
def show(mask: Which, tracking: Tracking) -> None:
    """Show how much of each tensor a mask keeps, and the recipe that drew it.

    Example: `rpmask mask show mask.safetensors`
    """
    from rpmask.steps.mask import show_mask

    found = show_mask(mask, tracking.context())
    lines = [
        f"{found['kept']:,} of {found['total']:,} weights kept, {percent(round(found['sparsity'], 6))} "
        "sparse",
        f"digest {found['digest']}",
        f"recipe {json.dumps(found['recipe'])}",
        *(
            f"  {count['kept'] / count['total']:7.2%}  {name}"
            for name, count in found["tensors"].items()
        ),
    ]
    _answer(found, lines, tracking)


@mask_verb
def diff(mask: Which, other: Which, tracking: Tracking) -> None:
    """Show what share of the weights that one mask keeps another keeps too.

    Example: `rpmask mask diff RUN_ID#0 RUN_ID#3`
    """
    from rpmask.steps.mask import diff_masks

    found = diff_masks(mask, other, tracking.context())
    lines = [
        "the same mask"
        if found["same"]
        else f"{found['overlap']:.2%} of {mask} is kept by {other}",
        f"kept: {found['kept'][0]:,} and {found['kept'][1]:,}",
    ]
    if found["inside"] and not found["same"]:
        lines.append(f"{mask} lies inside {other}")
    _answer(found, lines, tracking)


@mask_verb
def verify(mask: Which, tracking: Tracking) -> None:
    """Check a mask's shapes, counts and digest.

    Example: `rpmask mask verify mask.safetensors`
    """
    from rpmask.steps.mask import verify_mask

    found = verify_mask(mask, tracking.context())
    _answer(found, [f"ok: {found['kept']:,} weights kept, digest {found['digest']}"], tracking)


@mask_verb
def redraw(
    mask: Which,
    tracking: Tracking,
    out: Annotated[Path | None, typer.Option(help="Also write the mask to this file.")] = None,
) -> None:
    """Draw a pool's mask again from its recipe and check that the bits are the same.

    Example: `rpmask mask redraw RUN_ID#3`
    """
    from rpmask.steps.mask import redraw_mask

    found = redraw_mask(mask, tracking.context(), out)
    _answer(found, [f"ok: recipe {found['recipe']} draws {found['digest']}"], tracking)
