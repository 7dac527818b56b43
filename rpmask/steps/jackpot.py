"""`jackpot`: search a mask with the weights frozen, register the masked model, keep the mask.

The mask can be trained (`finetune --from RUN_ID`), and another search can start from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from rpmask.direction import better_way
from rpmask.heads.registry import head_of
from rpmask.lottery_jackpots.norms import Statistics
from rpmask.lottery_jackpots.search import Search, Searched, put_on
from rpmask.lottery_jackpots.searchable import find_searchable
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import save_mask
from rpmask.masks.weights import find_prunable, weights_digest
from rpmask.results import JackpotResult
from rpmask.steps.context import Context, Tee, versions
from rpmask.steps.dense_model import from_dense
from rpmask.steps.frame import Done, Step, by_group, changed, log_outputs, registered_as, run_step
from rpmask.steps.inputs import Prepared, data_params, load_data, log_data, prepare, read_as
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.jackpot_start import check_fits, drawn_start, find_start
from rpmask.steps.requests import SampleRequest
from rpmask.steps.resolve import MASK_FILE, Resolved
from rpmask.train.evaluate import evaluate, reported
from rpmask.train.models import load_classifier, skeleton, stored_weights
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun

NO_NORMS = "none"  # norm_statistics of a result whose model has no batch norms
NORMS_WILL = {
    "batch": "batch norms use each batch's statistics and update their running ones",
    "frozen": "batch norms keep the dense model's statistics",
    "reestimated": "batch norms take their statistics anew on training data after each epoch",
}
NORMS_DID = {
    "batch": "The batch norms' running statistics, which are buffers and no weights, **moved** with the "
    "search.",
    "frozen": "The batch norms' running statistics are the dense model's.",
    "reestimated": "The batch norms' running statistics, which are buffers and no weights, were "
    "**re-estimated** on training data under the mask.",
}


def jackpot(request: JackpotRequest, context: Context) -> dict[str, Any]:
    """Search from the requested start."""
    from rpmask.tracking.registry import check_dense, fetch, pin

    request.check()
    start = find_start(request, context)
    if request.model is not None:
        check_dense(context.tracker, request.model)
    if start.mask_digest is None:  # scores under a head of random weights would find nothing
        dense = SampleRequest(task=start.task, model=start.weights, data=start.data)
        dense = from_dense(dense, request.plan.seed, request.plan.threads, context)
        start = replace(start, weights=dense.start or start.weights)
    # An alias may move during the search; the result belongs to these weights.
    start = replace(start, weights=pin(context.tracker, start.weights))
    data = load_data(start.task, start.data)
    folder = fetch(context.tracker, start.weights)
    network = skeleton(folder, data.spec)
    held = start.load_mask(context)
    if held is None:
        tensors = find_searchable(network, request.include, request.exclude)
    else:
        tensors = find_prunable(network, ("*",))
        check_fits(held, tensors, start.name)
    digest = weights_digest(stored_weights(folder, data.spec, tensors), tensors)
    step = Step(
        name="jackpot",
        title=f"jackpot {data.spec.name} {percent(start.sparsity)} from {start.name[:40]}",
        task=data.spec.name,
        level=start.level,
        sparsity=start.sparsity,
        inputs={
            "weights": digest,
            "mask": start.mask_digest,
            "data": read_as(data, start.data),
        },
        decides=replace(request, start=start.name).to_dict(),
        params=_params(request, start),
        tags={"rpmask.start": start.run_id or start.name},  # the leaderboard follows a run's id
    )

    def work(run: StepRun) -> Done:
        prepared = prepare(data, start.data, folder)
        first = held
        if first is None:
            first = drawn_start(request, context, run, prepared, folder, tensors, digest)
        log_data(run, data, start.data)
        plan = request.plan
        context.console.say(
            f"Searching {first.kept():,} of {first.total():,} weights of {start.weights} for "
            f"{plan.epochs} epochs of {prepared.train_rows}, from {start.name}; no weight is "
            f"changed, {NORMS_WILL[plan.norm_statistics]}."
        )
        with context.console.working("jackpot") as shown:
            searched = Search(
                load_classifier(folder, data.spec, seed=plan.seed),
                first,
                prepared.train,
                prepared.selection,
                data.spec,
                plan,
                run.work / "search.safetensors",
                Tee(shown, run),
            ).run()
        result, model = _measure(request, start, prepared, folder, first, searched, run.run_id)
        return _finish(run, prepared, result, first, searched.mask, model)

    return run_step(step, context, work)


def _measure(
    request: JackpotRequest,
    start: Resolved,
    prepared: Prepared,
    folder: str,
    first: Mask,
    searched: Searched,
    run_id: str,
) -> tuple[JackpotResult, nn.Module]:
    """Read dev this one time: the dense model, the model under the first mask and under the found one."""
    split = next(iter(prepared.dev().values()))  # MNLI's first one

    def fresh() -> nn.Module:
        return load_classifier(folder, prepared.spec, seed=request.plan.seed)

    def under(mask: Mask, statistics: Statistics) -> nn.Module:
        model = fresh()
        put_on(model, mask, statistics)
        return model

    model = under(searched.mask, searched.statistics)
    dense, before, after = (
        reported(prepared.spec, evaluate(network, split, prepared.spec), split.labels)
        for network in (fresh(), under(first, searched.start_statistics), model)
    )
    result = JackpotResult(
        task=prepared.spec.name,
        model=start.model,
        weights=start.weights,
        start=start.name,
        level=start.level,
        sparsity=start.sparsity,
        start_digest=first.digest,
        mask_digest=searched.mask.digest,
        weights_digest_before=searched.weights_digest_before,
        weights_digest_after=searched.weights_digest_after,
        dense=dense,
        start_metrics=before,
        dev=after,
        primary=prepared.spec.primary,
        epochs=searched.epochs,
        best_epoch=searched.best_epoch,
        overlap=searched.mask.overlap(first),
        restriction=request.plan.restriction,
        norm_statistics=request.plan.norm_statistics if searched.statistics else NO_NORMS,
        statistics_digest_before=searched.statistics_digest_before,
        statistics_digest_after=searched.statistics_digest_after,
        tensors=searched.mask.counts(),
        data=start.data,
        lower_is_better=head_of(prepared.spec).answers.lower_is_better,
        run_id=run_id,
        versions=versions("jackpot"),
    )
    return result, model


def _finish(
    run: StepRun,
    prepared: Prepared,
    result: JackpotResult,
    first: Mask,
    mask: Mask,
    model: nn.Module,
) -> Done:
    from rpmask.tracking.register_model import register, writer_of
    from rpmask.tracking.registry import JACKPOT

    metrics = by_group(dev=result.dev, dense=result.dense, start=result.start_metrics)
    sparsities = {f"sparsity/{n}": 1.0 - c.kept / c.total for n, c in result.tensors.items()}
    for name, content in ((MASK_FILE, mask), ("start.safetensors", first)):
        save_mask(content, run.work / name)
        run.log_file(run.work / name)
    log_outputs(
        run,
        documents={"jackpot.json": result},
        charts=_charts(result),
        intro=_describe(result),
        metrics={**metrics, **sparsities, "steps": result.epochs[-1].step},
    )
    run.tag(primary=result.primary, better=better_way(result.lower_is_better))
    registered = register(
        run,
        writer_of(model, prepared.tokenizer),
        prepared.spec,
        max_length=prepared.encoder.max_length,
        tags={
            "rpmask.step": "jackpot",
            "rpmask.sparsity": repr(result.sparsity),
            "rpmask.metric": repr(result.dev[result.primary]),
            "rpmask.mask": result.mask_digest,
        },
        description=_describe(result),
        aliases=(JACKPOT,),
    )
    kept = result.pick(
        *("start", "mask_digest", "weights_digest_before", "weights_digest_after"),
        *("norm_statistics", "statistics_digest_before", "statistics_digest_after", "primary"),
        *("dense", "start_metrics", "dev", "overlap", "best_epoch"),
    )
    swaps = [epoch.swaps for epoch in result.epochs[1:]]
    note = _describe(result) + registered_as(registered, f"rpmask finetune --from {run.run_id}")
    return Done({**kept, "swaps_per_epoch": swaps, "model": registered}, note)


def _charts(result: JackpotResult) -> list[Chart]:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    return [
        Chart("search", "The search, epoch by epoch.", charts.search(result)),
        Chart(
            "density", "What the found mask keeps of every tensor.", charts.found_density(result)
        ),
    ]


def _params(request: JackpotRequest, start: Resolved) -> dict[str, Any]:
    """Return the start, how it is drawn if it is, and the plan of the search."""
    kind = f"candidate {start.candidate}" if start.candidate is not None else start.step
    drawn = {
        "allocation": request.allocation,
        **changed(request, "floor", "include", "exclude"),
    }
    return {
        "task": start.task,
        "model": start.model,
        "weights": start.weights,
        "start": start.name,
        "from": kind,
        "sparsity": start.sparsity,
        **(drawn if start.mask_digest is None else {}),
        **request.plan.to_dict(),
        **data_params(start.data),
    }


def _describe(result: JackpotResult) -> str:
    """Return the description of the run and of the registered version, in Markdown."""
    name = result.primary
    swaps = sum(epoch.swaps for epoch in result.epochs)
    lines = [
        f"**`{result.task}` at {percent(result.sparsity)} without touching a weight: {name} "
        f"{result.dev[name]:.4f} on dev**, {result.start_metrics[name]:.4f} under the starting mask, "
        f"{result.dense[name]:.4f} dense.",
        f"Searched from `{result.start}` in the weights of `{result.weights}` for "
        f"{len(result.epochs) - 1} epochs, best at {result.best_epoch}; {swaps:,} swaps "
        f"(restriction {result.restriction}); {result.overlap:.1%} of the start's kept weights are "
        "still kept.",
        f"Digest of every parameter, before and after: `{result.weights_digest_before[:16]}`, "
        f"`{result.weights_digest_after[:16]}`.",
    ]
    if result.norm_statistics != NO_NORMS:
        lines.append(
            f"{NORMS_DID[result.norm_statistics]} Their digest, before and after: "
            f"`{result.statistics_digest_before[:16]}`, `{result.statistics_digest_after[:16]}`."
        )
    return "\n\n".join(lines)
