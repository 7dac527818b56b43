"""`rpmask export`: write a registered model for deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rpmask.cli.options import verb
from rpmask.cli.sources import Champion
from rpmask.cli.tracking import Tracking
from rpmask.settings import setting
from rpmask.steps.deploy_requests import ExportRequest


@dataclass(frozen=True)
class Place:
    """Where an export is written."""

    out: Path | None = setting(None, "Folder to write", none="export/TASK-VERSION-FORM")


@verb(skip=("config", "plan", "system_metrics"))
def export(
    request: ExportRequest,
    champion: Champion,
    place: Place,
    tracking: Tracking,
    model: Annotated[
        str | None,
        typer.Argument(help="models:/NAME@ALIAS or models:/NAME/VERSION; else --task's champion."),
    ] = None,
) -> dict[str, Any]:
    """Write a registered model for deployment: packed, sparse, smaller, or portable.

    Example: `rpmask export models:/rpmask-demo@champion --to packed --out deploy/packed`
    """
    request.check()
    from rpmask.steps.export import default_folder, pinned_request
    from rpmask.steps.export import export as write

    context = tracking.context()
    request = pinned_request(replace(request, source=champion.unless(model)), context)
    return write(request, place.out or default_folder(request, context), context)
