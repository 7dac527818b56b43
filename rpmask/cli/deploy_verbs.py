"""`rpmask export|bench|predict`: what becomes of a pruned model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rpmask.cli import options as o
from rpmask.cli.app import app
from rpmask.cli.common import Tracking
from rpmask.cli.groups import TRACKING, with_groups
from rpmask.errors import RpmaskError
from rpmask.steps.requests import BenchRequest, ExportRequest

EXPORT, BENCH = ExportRequest(), BenchRequest()

Threads = Annotated[int, typer.Option(help="Threads that are timed with.")]


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _source(given: str | None, task: str) -> str:
    """The model as named, or the champion of the task."""
    from rpmask.steps.registered import default_address

    return default_address(task) if given in (None, "auto") else given


@app.command()
@with_groups
def export(
    model: Annotated[
        str | None,
        typer.Argument(help="models:/NAME@ALIAS or models:/NAME/VERSION; else --task's champion."),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="packed, dense, csr, compact or onnx.")
    ] = EXPORT.form,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write [default: export/TASK-VERSION-FORM].")
    ] = None,
    values: Annotated[
        str, typer.Option(help="Weights of a packed model: fp32, fp16, bf16 or int8.")
    ] = EXPORT.values,
    rows: Annotated[
        int, typer.Option(help="Rows on which its answers are compared with the model's.")
    ] = EXPORT.rows,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="How far logits may differ, of the largest [default: by form and values].",
            show_default=False,
        ),
    ] = None,
    threads: Threads = EXPORT.threads,
    task: o.Task = "demo",
    tracking: Tracking = TRACKING,
) -> None:
    """Write a registered model for deployment: small, sparse, smaller, or portable.

    Example: `rpmask export models:/rpmask-demo@champion --to packed --out deploy/packed`
    """
    request = ExportRequest(
        source=EXPORT.source if model is None else model,
        form=to,
        values=values,
        rows=rows,
        tolerance=tolerance,
        threads=threads,
    )
    request.check()
    from dataclasses import replace

    from rpmask.steps.export import default_folder, pinned_request
    from rpmask.steps.export import export as write

    context = tracking.context()
    request = pinned_request(replace(request, source=_source(model, task)), context)
    tracking.show("export", write(request, out or default_folder(request, context), context))


@app.command()
@with_groups
def bench(
    model: Annotated[
        str | None,
        typer.Argument(
            help="An export's folder, a model folder, or models:/NAME@ALIAS; else --task's champion."
        ),
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            help="Shapes of input, BATCHxTOKENS with commas between; auto: 1x32,1x128,8x128."
        ),
    ] = BENCH.grid,
    threads: Threads = BENCH.threads,
    seconds: Annotated[float, typer.Option(help="Time spent on each shape.")] = BENCH.seconds,
    task: o.Task = "demo",
    tracking: Tracking = TRACKING,
) -> None:
    """Time a model under every runtime here: dense, bf16, int8, CSR, compact, ONNX Runtime.

    Example: `rpmask bench models:/rpmask-demo@champion --grid 1x32,8x64`
    """
    request = BenchRequest(
        source=BENCH.source if model is None else model, grid=grid, threads=threads, seconds=seconds
    )
    request.check()
    from dataclasses import replace

    from rpmask.steps.bench import run_bench

    context = tracking.context()
    request = replace(request, source=_source(model, task))
    tracking.show("bench", run_bench(request, context))


@app.command()
def predict(
    model: Annotated[
        str | None,
        typer.Argument(
            help="An export's folder, a model folder, or models:/NAME@ALIAS; else --task's champion."
        ),
    ] = None,
    input_file: Annotated[
        str,
        typer.Option("--input", "-i", help="JSON lines, CSV, TSV or plain lines; - is stdin."),
    ] = "-",
    task: o.Task = "demo",
    experiment: o.Experiment = "rpmask",
    tracking_uri: o.TrackingUri = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="An error, too, as JSON; answers always are.")
    ] = False,
) -> None:
    """Answer rows of text: one JSON line each, in their order.

    Where rows have a column `label`, the metrics against it are printed on stderr at the end.

    Example: `rpmask predict deploy/packed --input rows.jsonl`
    """
    from rpmask.steps.predict import predict as answers

    context = Tracking(experiment, tracking_uri, quiet=True).context()
    source = _source(model, task)
    lines: TextIO
    name = "stdin" if input_file == "-" else input_file
    if input_file == "-":
        lines = sys.stdin
    else:
        try:
            lines = Path(input_file).open(encoding="utf-8-sig")  # noqa: SIM115 - open until the end
        except OSError as error:
            raise RpmaskError(
                f"Cannot read {input_file}: {error.strerror}.", "Check the path."
            ) from error
    try:
        for answer in answers(source, lines, name, context, summarise=_on_stderr):
            print(json.dumps(answer, ensure_ascii=False))
    except UnicodeDecodeError as error:
        raise RpmaskError(f"{name} is not UTF-8.", "Save the file as UTF-8.") from error
