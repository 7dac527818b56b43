"""`rpmask bench`: time a model under every runtime of this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from rpmask.cli.options import verb
from rpmask.cli.sources import Champion
from rpmask.cli.tracking import Tracking
from rpmask.steps.deploy_requests import BenchRequest

# The models that can answer: exported, in a folder, or registered.
AnsweringModel = Annotated[
    str | None,
    typer.Argument(
        help="An export's folder, a model folder, or models:/NAME@ALIAS; by default the champion of --task."
    ),
]


@verb(skip=("config", "plan", "system_metrics"))
def bench(
    request: BenchRequest, champion: Champion, tracking: Tracking, model: AnsweringModel = None
) -> dict[str, Any]:
    """Time a model under every installed runtime: dense, bf16, int8, CSR, compact, ONNX Runtime, OpenVINO.

    Example: `rpmask bench models:/rpmask-demo@champion --grid 1x32,8x64`
    """
    request.check()
    from rpmask.steps.bench import run_bench

    request = replace(request, source=champion.unless(model))
    return run_bench(request, tracking.context())
