"""`rpmask ui` and `rpmask doctor`: look at the runs, and at the machine."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from rpmask.cli import options as o
from rpmask.cli.app import app


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    tracking_uri: o.TrackingUri = None,
) -> None:
    """Browse the runs: start MLflow's server on 127.0.0.1 and print the address.

    Example: `rpmask ui --port 5001`
    """
    from rpmask.tracking.server import serve_ui

    serve_ui(tracking_uri, port, lambda line: print(line, file=sys.stderr, flush=True))


@app.command()
def doctor(as_json: o.Json = False) -> None:
    """Say what works on this machine: versions, devices, what is faster, how to start MLflow.

    Example: `rpmask doctor`
    """
    from rpmask.steps.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps(findings))
        return
    from rpmask.cli.tables import show_findings

    show_findings(findings)
