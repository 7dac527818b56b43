"""`rpmask ui`: browse the runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rpmask.cli.options import verb
from rpmask.cli.tracking import Tracking


@verb(skip=("config", "plan", "system_metrics", "force", "json", "quiet"))
def ui(
    tracking: Tracking,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
) -> None:
    """Browse the runs: start MLflow's server on 127.0.0.1 and print the address.

    Example: `rpmask ui --port 5001`
    """
    from rpmask.tracking.server import serve_ui

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    serve_ui(tracking.tracking_uri, tracking.experiment, port, say)
