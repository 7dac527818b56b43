"""`bench`: measure a model's speed on this machine under every installed runtime."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from rpmask.deploy import csr_routes
from rpmask.deploy.bench import AUTO, BenchRow, bench, longest, parse_grid, random_batch, shapes
from rpmask.deploy.exported import Exported
from rpmask.deploy.load import dense_module, load
from rpmask.deploy.manifest import export_in
from rpmask.deploy.measure import pinned
from rpmask.deploy.roofline import measure
from rpmask.deploy.runtimes import Runtimes, runtimes_of
from rpmask.deploy.writing import compare, tolerance_of
from rpmask.errors import RpmaskError
from rpmask.steps.context import Context, versions
from rpmask.steps.deploy_requests import BenchRequest
from rpmask.steps.export import bench_chart, log_rows
from rpmask.steps.frame import Done, Step, log_outputs, run_step
from rpmask.steps.inputs import source_digest
from rpmask.steps.resolve import resolve_version

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun


@dataclass(frozen=True)
class Target:
    """What is timed: a model in its dense shape, and an export of it if that is another thing."""

    name: str
    task: str
    level: int
    sparsity: float | None
    digest: str
    model: nn.Module | None
    export: Exported | None
    inputs: tuple[str, ...]


def run_bench(request: BenchRequest, context: Context) -> dict[str, Any]:
    """Time a registered model, an export or a model folder."""
    request.check()
    if request.grid != AUTO:
        parse_grid(request.grid)  # refuse a wrong one before anything is loaded
    with pinned(request.threads):
        target = _target(request.source, context)
        inputs = {"target": target.digest, "machine": csr_routes.machine()}
        wanted = request.without("source")
        step = Step(
            name="bench",
            title=f"bench {target.name[:60]}",
            task=target.task,
            level=target.level,
            sparsity=target.sparsity,
            inputs={**inputs, "versions": _libraries()},
            decides=wanted,
            params={"model": target.name, "task": target.task, **wanted, **inputs},
        )
        return run_step(step, context, lambda run: _time(run, request, target, context))


def _time(run: StepRun, request: BenchRequest, target: Target, context: Context) -> Done:
    config = _config(target)
    grid = shapes(request.grid, longest(config))
    context.console.say(f"Timing {target.name}, {request.threads} threads, {len(grid)} shapes.")
    with tempfile.TemporaryDirectory() as work:
        runtimes = _runtimes(target, Path(work), config.vocab_size)
        roofline = measure(target.model) if target.model is not None else None
        rows = bench(
            runtimes,
            grid,
            vocabulary=config.vocab_size,
            names=target.inputs,
            seconds=request.seconds,
            roofline=roofline,
        )
    result = {
        "model": target.name,
        "machine": csr_routes.machine(),
        "threads": request.threads,
        "rows": [row.to_dict() for row in rows],
        "absent": runtimes.absent,
        "roofline": roofline.to_dict() if roofline else None,
        "limits": str(roofline or ""),
    }
    note = _note(result, rows)
    log_outputs(
        run,
        intro=note,
        documents={"bench.json": {**result, "versions": versions("bench")}},
        charts=[bench_chart(rows, f"bench of {target.name}")],
    )
    log_rows(run, rows)
    return Done(result, note)


def _target(source: str, context: Context) -> Target:
    from rpmask.tracking.registry import fetch, is_mlflow_address, is_version_address

    if is_version_address(source):
        version = resolve_version(source, context)
        found = load(fetch(context.tracker, version.weights))
        target = _described(found, version.weights, source, None, context)
        return replace(
            target,
            task=version.task,
            level=version.level,
            sparsity=version.sparsity,
            digest=version.weights,
        )
    folder = Path(fetch(context.tracker, source) if is_mlflow_address(source) else source)
    folder = export_in(folder) or folder
    found = load(folder)
    manifest = found.manifest
    model = dense_module(found, folder)
    if model is not None:
        dense = Exported(manifest, found.tokenizer, found.answer, module=model)
        return _described(dense, source, source, None, context)
    original = _original(found, context)
    if original is None:
        context.console.say(f"{manifest.source} is not in this registry: {source} is timed alone.")
        return _described(found, source, source, found, context)
    target = _described(original, source, source, found, context)
    return replace(target, task=manifest.task, sparsity=manifest.sparsity, digest=manifest.digest)


def _libraries() -> dict[str, str]:
    """Return the versions that affect the timings."""
    found = versions("bench")
    for name in ("onnxruntime", "openvino"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _original(export: Exported, context: Context) -> Exported | None:
    """Return the model that an export was made from, if this registry has it and not another of that name."""
    from rpmask.tracking.registry import fetch

    try:
        version = resolve_version(export.manifest.source, context)
        original = load(fetch(context.tracker, version.weights))
    except RpmaskError:
        return None
    return original if _answers_as(export, original) else None


def _answers_as(export: Exported, original: Exported) -> bool:
    manifest, model = export.manifest, original.module
    assert model is not None  # a registered model is a plain folder
    config: Any = model.config
    allowed = max(tolerance_of(manifest), manifest.check.tolerance if manifest.check else 0.0)
    inputs = random_batch(4, min(8, longest(config)), config.vocab_size, _inputs(original))
    try:
        compare(export, model, (inputs,), allowed)
    except Exception:  # each runtime fails differently on a model of other shapes
        return False
    return True


def _inputs(found: Exported) -> tuple[str, ...]:
    inputs = found.head.inputs
    columns = inputs.columns(found.manifest.pair)
    row = {column.name: [["a"] if column.many else "a text"] for column in columns}
    return tuple(found.encode(inputs.rows(row)))


def _described(
    found: Exported, name: str, source: str, export: Exported | None, context: Context
) -> Target:
    manifest = found.manifest
    if not found.head.inputs.are_text:
        raise RpmaskError(
            "This model answers images; bench times batches of texts.",
            "Time it with your own images through rpmask.load(path).logits.",
        )
    alone = export is found
    return Target(
        name=name,
        task=manifest.task or Path(source).name,
        level=0,
        sparsity=manifest.sparsity if manifest.task else None,
        digest=manifest.digest or source_digest(context.tracker, source),
        model=None if alone else found.module,
        export=export,
        inputs=_inputs(found),
    )


def _config(target: Target) -> Any:
    model: Any = target.model
    if model is None and target.export is not None:
        model = target.export.module
    if model is None:
        raise RpmaskError(
            f"The model that {target.name} was exported from is not in this registry.",
            "Run bench where it is registered, with --tracking-uri, or on another form of it.",
        )
    return model.config


def _runtimes(target: Target, work: Path, vocabulary: int) -> Runtimes:
    """Return every runtime of the model; an export is added under the name of its form."""
    example = random_batch(2, 8, vocabulary, target.inputs)
    found = runtimes_of(target.model, example, work) if target.model is not None else Runtimes()
    if target.export is not None:
        found.answers[f"this {target.export.manifest.form}"] = target.export.logits
    return found


def _note(result: dict[str, Any], rows: tuple[BenchRow, ...]) -> str:
    head = (
        "| runtime | batch | tokens | ms | p95 | of the limit | speed-up | over the best dense "
        "| difference |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    table = "\n".join(
        f"| {r.runtime} | {r.batch} | {r.tokens} | {r.ms_median:.2f} | {r.ms_p95:.2f} | "
        f"{_share(r)} | {r.speedup:.2f} | {_ratio(r.speedup_best)} | {r.max_abs_diff:.1e} |"
        for r in rows
    )
    absent = "; ".join(f"{name}: {why}" for name, why in result["absent"].items())
    return (
        f"**{result['model']}** on {result['machine']}.\n\n{head}{table}\n\n"
        f"{result['limits']}\n\nAbsent: {absent or 'none'}."
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(row: BenchRow) -> str:
    """How near a time is to the machine's limit."""
    return "-" if row.least_ms is None else f"{row.least_ms / row.ms_median:.0%}"
