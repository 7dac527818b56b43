"""`rpmask mask show|diff|verify|redraw`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import Tracking
from rpmask.words import percent

mask_app = typer.Typer(
    no_args_is_help=True,
    help="Look at masks: files, or RUN_ID#CANDIDATE of a pool.\n\nExample: `rpmask mask show RUN_ID#0`",
)
app.add_typer(mask_app, name="mask")

Which = Annotated[str, typer.Argument(help="A mask file, RUN_ID#CANDIDATE, or RUN_ID.")]


def _answer(found: dict[str, Any], lines: list[str], as_json: bool) -> None:
    print(json.dumps(found) if as_json else "\n".join(lines))


@mask_app.command()
def show(
    mask: Which,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    as_json: o.Json = False,
) -> None:
    """What a mask keeps, tensor by tensor, and the recipe that drew it.

    Example: `rpmask mask show mask.safetensors`
    """
    from rpmask.steps.mask import show_mask

    found = show_mask(mask, Tracking(experiment, tracking_uri, quiet=as_json or None).context())
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
    _answer(found, lines, as_json)


@mask_app.command()
def diff(
    mask: Which,
    other: Which,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    as_json: o.Json = False,
) -> None:
    """How much of what one mask keeps another keeps too.

    Example: `rpmask mask diff RUN_ID#0 RUN_ID#3`
    """
    from rpmask.steps.mask import diff_masks

    found = diff_masks(
        mask, other, Tracking(experiment, tracking_uri, quiet=as_json or None).context()
    )
    lines = [
        "the same mask"
        if found["same"]
        else f"{found['overlap']:.2%} of {mask} is kept by {other}",
        f"kept: {found['kept'][0]:,} and {found['kept'][1]:,}",
    ]
    if found["inside"] and not found["same"]:
        lines.append(f"{mask} lies inside {other}")
    _answer(found, lines, as_json)


@mask_app.command()
def verify(
    mask: Which,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    as_json: o.Json = False,
) -> None:
    """Check a mask's shapes, counts and digest.

    Example: `rpmask mask verify mask.safetensors`
    """
    from rpmask.steps.mask import verify_mask

    found = verify_mask(mask, Tracking(experiment, tracking_uri, quiet=as_json or None).context())
    _answer(found, [f"ok: {found['kept']:,} weights kept, digest {found['digest']}"], as_json)


@mask_app.command()
def redraw(
    mask: Which,
    out: Annotated[Path | None, typer.Option(help="Write the mask to this file as well.")] = None,
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    as_json: o.Json = False,
) -> None:
    """Draw a pool's mask again from its recipe; the same bits must come out.

    Example: `rpmask mask redraw RUN_ID#3`
    """
    from rpmask.steps.mask import redraw_mask

    context = Tracking(experiment, tracking_uri, quiet=as_json or None).context()
    found = redraw_mask(mask, context, out)
    _answer(found, [f"ok: recipe {found['recipe']} draws {found['digest']}"], as_json)
