"""`jackpot`: search a mask with the weights frozen, register the masked model, keep the mask.

The mask is an artifact like any other: `finetune --from RUN_ID` trains it, another search can start
from it.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from rpmask.lottery_jackpots.norms import Statistics
from rpmask.lottery_jackpots.search import Search, Searched, put_on
from rpmask.lottery_jackpots.searchable import find_searchable
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import save_mask
from rpmask.masks.weights import Prunable, find_prunable, weights_digest
from rpmask.randomized_masks import importance
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.results import JackpotResult
from rpmask.steps.context import Context, Tee, versions
from rpmask.steps.decides import step_digest
from rpmask.steps.densemodel import from_dense
from rpmask.steps.foundnote import NO_NORMS, announced, note
from rpmask.steps.inputs import Prepared, load_data, prepare, read_as
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.requests import SampleRequest
from rpmask.steps.shown import jackpot_params
from rpmask.steps.starts import Origin, check_fits, find_origin, start_recipe
from rpmask.train.batches import calibration_rows
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier, skeleton, stored_weights
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun


def jackpot(request: JackpotRequest, context: Context) -> dict[str, Any]:
    """Search from the start that was asked for, and write what was found to MLflow."""
    from rpmask.tracking.datasets import log_datasets
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import check_dense, fetch, pin
    from rpmask.tracking.runs import StepKey

    request.check()
    origin = find_origin(request, context)
    if request.model is not None:
        check_dense(context.tracker, request.model)
    if origin.mask is None:  # scores under a head of random weights would find nothing
        dense = SampleRequest(task=origin.task, model=origin.weights, data=origin.data)
        dense = from_dense(dense, request.plan.seed, request.plan.threads, context)
        origin = replace(origin, weights=dense.start or origin.weights)
    # An alias may move; what was found belongs to these weights.
    origin = replace(origin, weights=pin(context.tracker, origin.weights))
    data = load_data(origin.task, origin.data)
    folder = fetch(context.tracker, origin.weights)
    network = skeleton(folder, data.spec)
    if origin.mask is None:
        tensors = find_searchable(network, request.include, request.exclude)
    else:
        tensors = find_prunable(network, ("*",))
        check_fits(origin.mask, tensors, origin)
    digest = weights_digest(stored_weights(folder, data.spec, tensors), tensors)
    inputs = {
        "weights": digest,
        "mask": origin.mask.digest if origin.mask else None,
        "data": read_as(data, origin.data),
    }
    step_key = StepKey(
        step="jackpot",
        key=step_digest("jackpot", inputs, replace(request, start=origin.name).to_dict()),
        name=f"jackpot {data.spec.name} {percent(origin.sparsity)} from {origin.name[:40]}",
        task=data.spec.name,
        level=origin.level,
        sparsity=origin.sparsity,
        params=jackpot_params(request, origin),
        tags={"rpmask.start": origin.run_id or origin.name},  # a run is on the leaderboard's road
    )
    with open_run(context.tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This search was done before: run {run.run_id}.")
            return run.result()
        prepared = prepare(data, origin.data, folder)
        start = origin.mask
        if start is None:
            start = _drawn(request, context, run, prepared, folder, tensors, digest)
        log_datasets(
            run,
            data.spec.name,
            data.source,
            {"train": data.train, "selection": data.selection, **data.dev},
            data.digests,
        )
        context.console.say(announced(request, origin, start, len(prepared.train)))
        with context.console.working("jackpot") as shown:
            searched = Search(
                load_classifier(folder, data.spec, seed=request.plan.seed),
                start,
                prepared.train,
                prepared.selection,
                data.spec,
                request.plan,
                run.work / "search.safetensors",
                Tee(shown, run),
            ).run()
        result, model = _report(request, origin, prepared, folder, start, searched, run.run_id)
        return _finish(run, prepared, result, start, searched.mask, model)


def _drawn(
    request: JackpotRequest,
    context: Context,
    run: StepRun,
    prepared: Prepared,
    folder: str,
    tensors: tuple[Prunable, ...],
    digest: str,
) -> Mask:
    """The starting mask of a recipe, computed from the weights, and the data if it needs them."""
    statistics: dict[str, importance.Statistics] = {}
    if request.start not in ("magnitude", "random"):
        with context.console.working("importance") as shown:
            statistics = calibrate(
                load_classifier(folder, prepared.spec, seed=request.plan.seed),
                prepared.train.take(
                    calibration_rows(
                        len(prepared.train), request.calibration_rows, request.plan.seed
                    )
                ),
                prepared.spec,
                [tensor.name for tensor in tensors],
                [request.start],
                seed=request.plan.seed,
                observer=Tee(shown, run),
            )
    found = statistics.get(request.start)
    recipe = start_recipe(request, digest, found.digest if found else None)
    source = stored_weights(folder, prepared.spec, tensors)
    return draw_mask(recipe, source, tensors, statistics=statistics)


def _report(
    request: JackpotRequest,
    origin: Origin,
    prepared: Prepared,
    folder: str,
    start: Mask,
    searched: Searched,
    run_id: str,
) -> tuple[JackpotResult, nn.Module]:
    """The one time that dev is read: the dense model, under the start, and under what was found."""
    from rpmask.tasks.evaluate_metrics import report

    split = next(iter(prepared.dev().values()))  # MNLI's first one

    def fresh() -> nn.Module:
        return load_classifier(folder, prepared.spec, seed=request.plan.seed)

    def under(mask: Mask, statistics: Statistics) -> nn.Module:
        model = fresh()
        put_on(model, mask, statistics)
        return model

    model = under(searched.mask, searched.statistics)
    dense, before, after = (
        report(prepared.spec, evaluate(network, split, prepared.spec).logits, split.labels)
        for network in (fresh(), under(start, searched.start_statistics), model)
    )
    result = JackpotResult(
        task=prepared.spec.name,
        model=origin.model,
        weights=origin.weights,
        start=origin.name,
        level=origin.level,
        sparsity=origin.sparsity,
        start_digest=start.digest,
        mask_digest=searched.mask.digest,
        weights_digest_before=searched.weights_digest_before,
        weights_digest_after=searched.weights_digest_after,
        dense=dense,
        start_metrics=before,
        dev=after,
        primary=prepared.spec.primary,
        epochs=searched.epochs,
        best_epoch=searched.best_epoch,
        overlap=searched.mask.overlap(start),
        restriction=request.plan.restriction,
        norm_statistics=request.plan.norm_statistics if searched.statistics else NO_NORMS,
        statistics_digest_before=searched.statistics_digest_before,
        statistics_digest_after=searched.statistics_digest_after,
        tensors=searched.mask.counts(),
        data=origin.data,
        run_id=run_id,
        versions=versions(),
    )
    return result, model


def _finish(
    run: StepRun,
    prepared: Prepared,
    result: JackpotResult,
    start: Mask,
    mask: Mask,
    model: nn.Module,
) -> dict[str, Any]:
    from rpmask.tracking.register import register, saved
    from rpmask.tracking.registry import JACKPOT

    _write(run, result, start, mask)
    registered = register(
        run,
        saved(model, prepared.tokenizer),
        prepared.spec,
        tags={
            "rpmask.step": "jackpot",
            "rpmask.sparsity": repr(result.sparsity),
            "rpmask.metric": repr(result.dev[result.primary]),
            "rpmask.mask": result.mask_digest,
        },
        description=note(result, None),
        aliases=(JACKPOT,),
    )
    return run.finish(
        {
            "start": result.start,
            "mask_digest": result.mask_digest,
            "weights_digest_before": result.weights_digest_before,
            "weights_digest_after": result.weights_digest_after,
            "norm_statistics": result.norm_statistics,
            "statistics_digest_before": result.statistics_digest_before,
            "statistics_digest_after": result.statistics_digest_after,
            "primary": result.primary,
            "dense": result.dense,
            "start_metrics": result.start_metrics,
            "dev": result.dev,
            "swaps_per_epoch": [epoch.swaps for epoch in result.epochs[1:]],
            "overlap": result.overlap,
            "best_epoch": result.best_epoch,
            "model": registered,
        },
        note(result, registered),
    )


def _write(run: StepRun, result: JackpotResult, start: Mask, mask: Mask) -> None:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    run.log_json("jackpot.json", result.to_dict())
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in (("mask", mask), ("start", start)):
            path = Path(temporary) / f"{name}.safetensors"
            save_mask(content, path)
            run.log_file(path)
    drawn = [
        Chart("search", "The search, epoch by epoch.", charts.search(result)),
        Chart(
            "density",
            "What the mask that was found keeps of every tensor.",
            charts.found_density(result),
        ),
    ]
    run.log_charts(drawn, intro=note(result, None))
    for group, values in (
        ("dev", result.dev),
        ("dense", result.dense),
        ("start", result.start_metrics),
    ):
        for name, value in values.items():
            run.metric(f"{group}/{name}", value)
    run.metric("steps", result.epochs[-1].step)
    run.tag(primary=result.primary)
    for name, count in result.tensors.items():
        run.metric(f"sparsity/{name}", 1.0 - count.kept / count.total)
