"""`export`: write a registered model as a folder for deployment, checked against the model itself.

The folder is written to a temporary place, read back with `rpmask.load` and compared with the registered
model on rows of the selection split. Only then is it moved into place and logged to MLflow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.deploy.bench import BenchRow
from rpmask.deploy.exported import Exported, on_cpu
from rpmask.deploy.manifest import CARD, HUB, Manifest, is_export, open_export, read_manifest
from rpmask.deploy.measure import pinned
from rpmask.deploy.model_card import CardFacts, write_card
from rpmask.deploy.runtimes import DENSE, Runtimes
from rpmask.deploy.writing import Batch, Source, write_export
from rpmask.errors import RpmaskError
from rpmask.heads.registry import head_of
from rpmask.steps.context import Context, versions
from rpmask.steps.deploy_requests import FASTEST, ExportRequest
from rpmask.steps.fastest_form import fastest_form, timed
from rpmask.steps.frame import Done, Step, log_outputs, run_step
from rpmask.steps.inputs import Prepared, load_data, prepare
from rpmask.steps.publish import card_facts
from rpmask.steps.resolve import Resolved, resolve_version
from rpmask.train.models import load_classifier
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun

BATCH = 16  # rows compared at once


def pinned_request(request: ExportRequest, context: Context) -> ExportRequest:
    """Return the request with a version in place of its alias, which may move at any time."""
    from rpmask.tracking.registry import pin

    return replace(request, source=pin(context.tracker, request.source))


def default_folder(request: ExportRequest, context: Context) -> Path:
    """Return the default folder of an export: one for each version, form and type of values."""
    version = pinned_request(request, context).source.removeprefix("models:/rpmask-")
    values = "" if request.values == "fp32" else f"-{request.values}"
    return Path("export") / f"{version.replace('/', '-')}-{request.form}{values}"


def export(request: ExportRequest, out: Path, context: Context) -> dict[str, Any]:
    """Write a registered model to `out` in the requested form."""
    request.check()
    _check_free(out)
    found = resolve_version(request.source, context)
    facts = card_facts(found, context) if request.form == HUB else None
    wanted = request.without("source")
    step = Step(
        name="export",
        title=f"export {found.task} {percent(found.sparsity)} {request.form}",
        task=found.task,
        level=found.level,
        sparsity=found.sparsity,
        inputs={"source": found.weights, "mask": found.mask_digest},
        decides=wanted,
        params={"task": found.task, "model": found.weights, **wanted},
        tags={"rpmask.source": found.weights, "rpmask.form": request.form},
    )

    def work(run: StepRun) -> Done:
        with _next_to(out) as temporary, pinned(request.threads):
            manifest, rows = _write(request, found, Path(temporary) / "export", context)
            if facts is not None:
                write_card(Path(temporary) / "export", manifest, facts)
            _move(Path(temporary) / "export", out)
        return _finish(run, found, manifest, rows, out)

    return run_step(step, context, work, lambda run: _reused(facts, run, out, context))


def _write(
    request: ExportRequest, found: Resolved, folder: Path, context: Context
) -> tuple[Manifest, tuple[BenchRow, ...]]:
    from rpmask.tracking.registry import fetch

    data = load_data(found.task, found.data)
    head = head_of(data.spec)
    # A text is continued by a module of torch.
    left_out = ("onnx",) if head.generate is not None else ()
    if request.form in left_out:
        raise RpmaskError(
            "A language model continues a text token by token, which an ONNX file of it does not do.",
            "Export it as packed, csr or dense.",
        )
    model_folder = fetch(context.tracker, found.weights)
    prepared = prepare(data, found.data, model_folder)
    batches = _batches(prepared, request.rows)
    source = Source(
        model=load_classifier(model_folder, data.spec).eval(),
        tokenizer=prepared.tokenizer,
        mask=found.load_mask(context),
        batches=batches,
        labels=tuple(batch.pop("labels") for batch in batches),
    )
    form, chosen = request.form, ""
    if form == FASTEST:
        if not head.inputs.are_text:
            raise RpmaskError(
                "This model answers images, and the forms are timed on texts.", "Give --to a form."
            )
        form, chosen = fastest_form(source, left_out)
        context.console.say(f"The form is {form}, {chosen}.")
    context.console.say(f"Exporting {found.weights} as {form}, compared on {request.rows} rows.")
    described = Manifest(
        form=form,
        task=found.task,
        source=found.weights,
        inputs=data.spec.inputs,
        kind=data.spec.kind,
        pair=data.spec.pair,
        labels=data.spec.labels,
        max_length=prepared.encoder.max_length,
        sparsity=found.sparsity,
        values=request.values,
        note=chosen,
        versions=versions("export"),
    )
    manifest, exported = write_export(source, folder, described, request.tolerance)
    return manifest, _timed(source, exported)


def _batches(prepared: Prepared, rows: int) -> tuple[Batch, ...]:
    """Return the first rows of the selection split in batches."""
    split = prepared.selection
    count = min(rows, len(split))
    size = split.at_once(BATCH)
    parts = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    return tuple(split.batch(part) for part in parts)


def _timed(source: Source, exported: Exported) -> tuple[BenchRow, ...]:
    """Time the export next to the dense model; images have no length to choose and are not timed."""
    if not exported.head.inputs.are_text:
        return ()
    runtimes = Runtimes({DENSE: on_cpu(source.model), exported.manifest.form: exported.logits})
    return timed(runtimes, source)


def _check_free(out: Path) -> None:
    """Refuse a folder with anything but an export in it, which the new export replaces."""
    if out.exists() and not is_export(out) and (not out.is_dir() or any(out.iterdir())):
        raise RpmaskError(
            f"{out} exists and is not an export.", "Name a new folder with --out, or remove it."
        )


def _next_to(out: Path) -> tempfile.TemporaryDirectory[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=f".{out.name[:40]}.", dir=out.parent)


def _move(folder: Path, out: Path) -> None:
    """Move a finished folder to `out`; an older export is set aside first."""
    if out.exists():
        out.rename(folder.parent / "before")
    folder.rename(out)


def _reused(facts: CardFacts | None, run: StepRun, out: Path, context: Context) -> dict[str, Any]:
    """Return the result of an earlier export; copy it from MLflow unless `out` holds it already."""
    from rpmask.tracking.servable import copy_export

    result = run.result()
    if not (is_export(out) and read_manifest(out).digest == result["digest"]):
        with _next_to(out) as temporary:
            copy = Path(temporary) / "export"
            copy_export(context.tracker, run.run_id, result["model_uri"], copy)
            _move(copy, out)
    manifest = open_export(out)
    if facts is not None and not (out / CARD).exists():
        write_card(out, manifest, facts)
    return {**result, "path": str(out)}


def _finish(
    run: StepRun, found: Resolved, manifest: Manifest, rows: tuple[BenchRow, ...], out: Path
) -> Done:
    from rpmask.tracking.servable import log_export

    check = manifest.check
    assert check is not None
    table = [row.to_dict() for row in rows]
    log_outputs(
        run,
        documents={"export.json": manifest, "bench.json": table},
        metrics={
            "bytes": manifest.bytes,
            "dense_bytes": manifest.dense_bytes,
            "max_abs_diff": check.max_abs_diff,
        },
    )
    log_rows(run, rows)
    run.tag(digest=manifest.digest)
    result = {
        "path": str(out),
        "format": manifest.form,
        "model": found.weights,
        "model_uri": log_export(run, out, manifest),
        "bytes": manifest.bytes,
        **manifest.pick("values", "dense_bytes", "masked_bytes", "masked_dense_bytes"),
        **manifest.pick("digest", "standard", "note"),
        **check.pick("max_abs_diff", "tolerance", "same_answers"),
        "compared_rows": check.rows,
        "rows": table,
    }
    note = _note(result)
    if rows:
        title = f"{manifest.task} at {percent(manifest.sparsity)}, exported as {manifest.form}"
        run.log_charts([bench_chart(rows, title)], intro=note)
    return Done(result, note)


def bench_chart(rows: Sequence[BenchRow], title: str) -> Chart:
    """Chart the time of an answer by runtime."""
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    return Chart("bench", "Time of an answer on this machine.", charts.bench(rows, title))


def log_rows(run: StepRun, rows: Sequence[BenchRow]) -> None:
    """Log measured times as metrics, by runtime and shape."""
    for row in rows:
        name = row.runtime.replace(":", "-")  # MLflow refuses a colon in a metric's name
        shape = f"{row.batch}x{row.tokens}"
        run.metric(f"ms/{name}/{shape}", row.ms_median)
        run.metric(f"speedup/{name}/{shape}", row.speedup)


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
