"""`export`: a registered model as a folder that can be deployed, checked against the model itself.

The folder is written beside its place, read back with `rpmask.load`, compared with the registered model on
rows of the selection split, and only then moved to where it was asked for and logged to MLflow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.deploy.bench import BenchRow, bench
from rpmask.deploy.exported import Exported
from rpmask.deploy.manifest import Manifest, is_export, open_export, read_manifest
from rpmask.deploy.measure import pinned
from rpmask.deploy.runtimes import DENSE, Runtimes, called
from rpmask.deploy.writing import Batch, Source, write_export
from rpmask.errors import RpmaskError
from rpmask.steps.context import Context, versions
from rpmask.steps.decides import step_digest
from rpmask.steps.deploy_requests import ExportRequest
from rpmask.steps.inputs import Prepared, load_data, prepare
from rpmask.steps.registered import Registered, find_registered
from rpmask.train.models import load_classifier
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun

BATCH = 16  # rows compared at once
SHAPES = ((1, 32), (1, 128))  # what an export is timed on; `bench` does the rest
SECONDS = 2.0


@dataclass(frozen=True)
class Written:
    """A finished export and what was measured of it."""

    manifest: Manifest
    rows: tuple[BenchRow, ...]


def pinned_request(request: ExportRequest, context: Context) -> ExportRequest:
    """The request with the version that its alias stands on now, which may be another a moment later."""
    from rpmask.tracking.registry import pin

    return replace(request, source=pin(context.tracker, request.source))


def default_folder(request: ExportRequest, context: Context) -> Path:
    """Where an export goes if nobody says: a folder for each version, form and type of values."""
    from rpmask.tracking.registry import pin

    version = pin(context.tracker, request.source).removeprefix("models:/rpmask-")
    values = "" if request.values == "fp32" else f"-{request.values}"
    return Path("export") / f"{version.replace('/', '-')}-{request.form}{values}"


def export(request: ExportRequest, out: Path, context: Context) -> dict[str, Any]:
    """Write a registered model to `out` in the form that is asked for."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.runs import StepKey

    request.check()
    _check_free(out)
    found = find_registered(request.source, context)
    inputs = {"source": found.address, "mask": found.mask.digest if found.mask else None}
    wanted = {name: value for name, value in request.to_dict().items() if name != "source"}
    step_key = StepKey(
        step="export",
        key=step_digest("export", inputs, wanted),
        name=f"export {found.task} {percent(found.sparsity)} {request.form}",
        task=found.task,
        level=found.level,
        sparsity=found.sparsity,
        params={"task": found.task, "model": found.address, **wanted},
        tags={"rpmask.source": found.address, "rpmask.form": request.form},
    )
    with open_run(context.tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This was exported before: run {run.run_id}.")
            return _again(run.run_id, run.result(), out, context)
        with _beside(out) as temporary, pinned(request.threads):
            written = _write(request, found, Path(temporary) / "export", context)
            _move(Path(temporary) / "export", out)
        return _finish(run, found, written, out)


def _write(request: ExportRequest, found: Registered, folder: Path, context: Context) -> Written:
    data = load_data(found.task, found.data)
    prepared = prepare(data, found.data, found.folder)
    context.console.say(
        f"Exporting {found.address} as {request.form}, compared on {request.rows} rows."
    )
    source = Source(
        model=load_classifier(found.folder, data.spec).eval(),
        tokenizer=prepared.tokenizer,
        mask=found.mask,
        batches=_batches(prepared, request.rows),
    )
    described = Manifest(
        form=request.form,
        task=found.task,
        source=found.address,
        inputs=data.spec.inputs,
        kind=data.spec.kind,
        pair=data.spec.pair,
        labels=data.spec.labels,
        max_length=prepared.max_length,
        sparsity=found.sparsity,
        values=request.values,
        versions=versions(),
    )
    manifest, exported = write_export(source, folder, described, request.tolerance)
    return Written(manifest, _timed(source, exported))


def _batches(prepared: Prepared, rows: int) -> tuple[Batch, ...]:
    """Rows of the selection split, which chose the model and is no secret to it."""
    split = prepared.selection
    count = min(rows, len(split))
    found = [split.batch(part) for part in _parts(count)]
    for batch in found:
        batch.pop("labels")
    return tuple(found)


def _parts(count: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def _timed(source: Source, exported: Exported) -> tuple[BenchRow, ...]:
    """The export beside the dense model; images have no length to choose and are not timed."""
    from rpmask.deploy.bench import longest

    if exported.manifest.inputs != "text":
        return ()
    config = source.model.config
    runtimes = Runtimes({DENSE: called(source.model), exported.manifest.form: exported.logits})
    return bench(
        runtimes,
        sorted({(batch, min(tokens, longest(config))) for batch, tokens in SHAPES}),
        vocabulary=config.vocab_size,
        names=tuple(source.batches[0]),
        seconds=SECONDS,
    )


def _check_free(out: Path) -> None:
    """An export replaces another export, and nothing else."""
    if out.exists() and not is_export(out) and (not out.is_dir() or any(out.iterdir())):
        raise RpmaskError(
            f"{out} exists and is not an export.", "Name a new folder with --out, or remove it."
        )


def _beside(out: Path) -> tempfile.TemporaryDirectory[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=f".{out.name[:40]}.", dir=out.parent)


def _move(folder: Path, out: Path) -> None:
    """Put a whole folder in its place; what was there lies aside until then."""
    if out.exists():
        out.rename(folder.parent / "before")
    folder.rename(out)


def _again(run_id: str, result: dict[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """An export that was made before: as it lies there, else as MLflow keeps it."""
    from rpmask.tracking.servable import copy_export

    if not (is_export(out) and read_manifest(out).digest == result["digest"]):
        with _beside(out) as temporary:
            copy = Path(temporary) / "export"
            copy_export(context.tracker, run_id, result["model_uri"], copy)
            _move(copy, out)
    open_export(out)
    return {**result, "path": str(out)}


def _finish(run: StepRun, found: Registered, written: Written, out: Path) -> dict[str, Any]:
    from rpmask.tracking.servable import log_export

    manifest, rows = written.manifest, written.rows
    check = manifest.check
    assert check is not None
    run.log_json("export.json", manifest.to_dict())
    run.log_json("bench.json", [row.to_dict() for row in rows])
    run.metric("bytes", manifest.bytes)
    run.metric("dense_bytes", manifest.dense_bytes)
    run.metric("max_abs_diff", check.max_abs_diff)
    log_rows(run, rows)
    run.tag(digest=manifest.digest)
    uri = log_export(run, out, manifest)
    result = {
        "path": str(out),
        "format": manifest.form,
        "model": found.address,
        "model_uri": uri,
        "values": manifest.values,
        "bytes": manifest.bytes,
        "dense_bytes": manifest.dense_bytes,
        "masked_bytes": manifest.masked_bytes,
        "masked_dense_bytes": manifest.masked_dense_bytes,
        "digest": manifest.digest,
        "standard": manifest.standard,
        "note": manifest.note,
        "max_abs_diff": check.max_abs_diff,
        "tolerance": check.tolerance,
        "same_answers": check.same_answers,
        "compared_rows": check.rows,
        "rows": [row.to_dict() for row in rows],
    }
    note = _note(result)
    if rows:
        run.log_charts([bench_chart(rows, _title(manifest))], intro=note)
    return run.finish(result, note)


def bench_chart(rows: Sequence[BenchRow], title: str) -> Chart:
    """How long an answer takes, runtime beside runtime."""
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    return Chart("bench", "Time of an answer on this machine.", charts.bench(rows, title))


def log_rows(run: StepRun, rows: Sequence[BenchRow]) -> None:
    """Measured times as metrics, by runtime and shape."""
    for row in rows:
        name = row.runtime.replace(":", "-")  # MLflow refuses a colon in a metric's name
        shape = f"{row.batch}x{row.tokens}"
        run.metric(f"ms/{name}/{shape}", row.ms_median)
        run.metric(f"speedup/{name}/{shape}", row.speedup)


def _title(manifest: Manifest) -> str:
    return f"{manifest.task} at {percent(manifest.sparsity)}, exported as {manifest.form}"


def _note(result: dict[str, Any]) -> str:
    same = result["same_answers"]
    lines = [
        f"**{result['model']} as `{result['format']}`: {result['bytes']:,} bytes**, "
        f"{result['bytes'] / result['dense_bytes']:.1%} of its dense weights.",
        f"On {result['compared_rows']} rows its logits are within {result['max_abs_diff']:.2g} of the "
        f"registered model's (allowed {result['tolerance']:.2g})"
        + ("." if same is None else f"; {same:.1%} of the answers are the same."),
    ]
    if result["note"]:
        lines.append(f"{result['note']}.")
    if result["model_uri"]:
        lines.append(f"Next: `mlflow models serve -m {result['model_uri']} --env-manager local`")
    return "\n\n".join(lines)
