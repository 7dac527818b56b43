"""`rpmask export`: write a registered model for deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rpmask.cli.options import verb
from rpmask.cli.sources import Champion
from rpmask.cli.tracking import Tracking
from rpmask.deploy.manifest import HUB
from rpmask.errors import RpmaskError
from rpmask.settings import setting
from rpmask.steps.deploy_requests import ExportRequest


@dataclass(frozen=True)
class Place:
    """Where an export is written, and published."""

    out: Path | None = setting(None, "Folder to write", none="export/TASK-VERSION-FORM")
    repo: str | None = setting(
        None,
        "With --to hub: the repository on the Hugging Face hub to upload to",
        metavar="ORG/NAME",
        none="none, only the folder is written",
    )
    private: bool = setting(False, "Create the repository as a private one", "--private")

    def check(self, form: str) -> None:
        """Refuse a repository for another form, and one that an upload would fail on."""
        if self.repo is None and not self.private:
            return
        if self.repo is None or form != HUB:
            raise RpmaskError(
                "--repo and --private are for --to hub, which uploads to a repository.",
                "Give --to hub --repo ORG/NAME.",
            )
        from rpmask.deploy.hub import check_repository

        check_repository(self.repo)


@verb(skip=("config", "plan", "system_metrics"))
def export(
    request: ExportRequest,
    champion: Champion,
    place: Place,
    tracking: Tracking,
    model: Annotated[
        str | None,
        typer.Argument(
            help="models:/NAME@ALIAS or models:/NAME/VERSION; by default the champion of --task."
        ),
    ] = None,
) -> dict[str, Any]:
    """Write a registered model for deployment: packed, sparse, smaller, portable, or for the hub.

    Example: `rpmask export models:/rpmask-demo@champion --to packed --out deploy/packed`
    """
    request.check()
    place.check(request.form)
    from rpmask.steps.export import default_folder, pinned_request
    from rpmask.steps.export import export as write

    context = tracking.context()
    request = pinned_request(replace(request, source=champion.unless(model)), context)
    result = write(request, place.out or default_folder(request, context), context)
    if place.repo is None:
        return result
    from rpmask.deploy.hub import upload

    tracking.say(f"Uploading {result['path']} to {place.repo}.")
    page = upload(Path(result["path"]), place.repo, private=place.private)
    return {**result, "repo": place.repo, "page": page}
