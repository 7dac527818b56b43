"""`select`: keep the winner of a race, with evidence, and register it.

The best candidate is compared with the control on the same examples. Without evidence that it is
better, the control is kept: a mask chosen by luck is not better next time. `run`, which has to go on with
one of them, asks for the first of the ranking whatever the evidence.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import save_mask
from rpmask.randomized_masks.losses import read_losses
from rpmask.randomized_masks.verdict import (
    BETTER,
    NO_EVIDENCE,
    Paired,
    paired_interval,
    shrunk_effect,
    training_noise,
)
from rpmask.records import Pool, ScreenReport, Selection
from rpmask.steps.context import Context, versions
from rpmask.steps.decides import step_digest
from rpmask.steps.inputs import spec_of
from rpmask.steps.poolmasks import load_masks
from rpmask.steps.requests import SelectRequest
from rpmask.train.masked_copy import copy_masked
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tasks.spec import TaskSpec
    from rpmask.tracking.runs import Chart, StepRun


def select(request: SelectRequest, context: Context, screen_run_id: str) -> dict[str, Any]:
    """Select from the race of a `screen` run."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.runs import StepKey

    request.check()
    tracker = context.tracker
    report = tracker.artifacts.record(
        tracker.step_of(screen_run_id, "screen"), "screen.json", ScreenReport
    )
    pool = tracker.artifacts.record(report.pool_run_id, "pool.json", Pool)
    step_key = StepKey(
        step="select",
        key=step_digest("select", {"screen": screen_run_id}, request.to_dict()),
        name=f"select {report.task} {percent(report.sparsity)}",
        task=report.task,
        level=report.level,
        sparsity=report.sparsity,
        params={"model": pool.model, "screen": screen_run_id, **request.to_dict()},
        tags={"rpmask.screen": screen_run_id, "rpmask.pool": report.pool_run_id},
    )
    with open_run(tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This race was judged before: run {run.run_id}.")
            return run.result()
        context.console.say(f"Comparing {len(report.candidates)} candidates with the control.")
        losses = read_losses(tracker.artifacts.path(screen_run_id, "losses.safetensors"), report)
        selection, paired = judge(request, report, pool, losses, run.run_id)
        mask = load_masks(pool, report.pool_run_id, context)[selection.winner]
        _write(run, selection, report, pool, mask, paired)
        registered = _register(run, pool, selection, mask)
        return run.finish(
            {
                "screen_run_id": screen_run_id,
                "winner": selection.winner,
                "best": selection.best,
                "verdict": selection.verdict,
                "effect": selection.effect,
                "interval": list(selection.interval),
                "shrunk": selection.shrunk,
                "noise": selection.noise,
                "twins": selection.twins,
                "model": registered,
            },
            _note(selection, pool, registered),
        )


def judge(
    request: SelectRequest, report: ScreenReport, pool: Pool, losses: Any, run_id: str
) -> tuple[Selection, dict[int, Paired]]:
    """Rank those that finished and compare the best of them with the control."""
    finished = [raced for raced in report.candidates if raced.status == "finished"]
    ranking = sorted(finished, key=lambda raced: (raced.rungs[-1].value, raced.index))
    control = pool.control
    rivals = [raced.index for raced in ranking if raced.index != control]
    compared = max(1, len(report.candidates) - 1 + pool.looked)
    twins = [losses[twin.index] for twin in report.twins if twin.status == "finished"]
    paired = {
        i: paired_interval(
            losses[control],
            losses[i],
            twins=twins,
            compared=compared,
            alpha=request.alpha,
            seed=request.seed,
        )
        for i in rivals
    }
    best = rivals[0] if rivals else control
    evidence = paired.get(best) or Paired(0.0, 0.0, 0.0, 1.0 - request.alpha)
    verdict = evidence.verdict if rivals else NO_EVIDENCE
    winner = best if verdict == BETTER else control
    if request.take == "best":
        winner = ranking[0].index
    elif request.take == "control":
        winner = control
    elif request.take.isdecimal():
        winner = _named(int(request.take), report)
    last = {raced.index: raced.rungs[-1] for raced in finished}
    selection = Selection(
        screen_run_id=report.run_id,
        pool_run_id=report.pool_run_id,
        task=report.task,
        level=report.level,
        sparsity=report.sparsity,
        winner=winner,
        best=best,
        control=control,
        ranking=tuple(raced.index for raced in ranking),
        verdict=verdict,
        effect=evidence.effect,
        interval=(evidence.low, evidence.high),
        confidence=evidence.confidence,
        compared=compared,
        metrics={
            "winner_loss": last[winner].loss,
            "control_loss": last[control].loss,
            f"winner_{report.metric_name}": last[winner].metric,
            f"control_{report.metric_name}": last[control].metric,
        },
        mask_digest=pool.candidates[winner].mask_digest,
        twins=len(twins),
        noise=training_noise([losses[control], *twins]),
        shrunk=shrunk_effect(evidence, paired.values()) if rivals else None,
        run_id=run_id,
        versions=versions(),
    )
    return selection, paired


def _named(index: int, report: ScreenReport) -> int:
    """The candidate asked for, if it ran the whole race."""
    if index >= len(report.candidates):
        raise RpmaskError(
            f"There is no candidate {index}: the pool has {len(report.candidates)}.",
            f"Give --take 0 to {len(report.candidates) - 1}.",
        )
    raced = report.candidates[index]
    if raced.status != "finished":
        raise RpmaskError(
            f"Candidate {index} did not finish the race: {raced.reason}.",
            "Train all of them to the end with `rpmask screen --full`, or take another.",
        )
    return index


def _write(
    run: StepRun,
    selection: Selection,
    report: ScreenReport,
    pool: Pool,
    mask: Mask,
    paired: dict[int, Paired],
) -> None:
    run.log_json("selection.json", selection.to_dict())
    path = run.work / "mask.safetensors"
    save_mask(mask, path, pool.candidates[selection.winner].recipe)
    run.log_file(path)
    intervals = {i: (p.effect, p.low, p.high) for i, p in paired.items()}
    run.log_charts(_charts(selection, report, pool, intervals), intro=_note(selection, pool, None))
    measured = {name: getattr(selection, name) for name in ("effect", "shrunk", "noise")}
    for name, value in {**selection.metrics, **measured}.items():
        if value is not None:
            run.metric(name, value)
    run.tag(verdict=selection.verdict, winner=str(selection.winner))


def _charts(
    selection: Selection,
    report: ScreenReport,
    pool: Pool,
    intervals: dict[int, tuple[float, float, float]],
) -> list[Chart]:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    winner = selection.winner
    return [
        Chart(
            "effect",
            "How much better than the control each finisher is, on the same examples.",
            charts.effect(selection, report, pool, intervals),
        ),
        Chart("race", "The race the choice rests on.", charts.race(report, pool, winner=winner)),
        Chart("density", "What the kept mask keeps of every tensor.", charts.density(pool, winner)),
    ]


def _register(run: StepRun, pool: Pool, selection: Selection, mask: Mask) -> dict[str, Any]:
    """The starting weights under the selected mask, not yet trained."""
    from rpmask.tracking.register import register
    from rpmask.tracking.registry import SELECTED, fetch

    spec = spec_of(pool.task, pool.data)
    return register(
        run,
        partial(_write_model, fetch(run.tracker, pool.start), spec, mask),
        spec,
        tags={
            "rpmask.step": "select",
            "rpmask.sparsity": repr(float(pool.sparsity)),
            "rpmask.verdict": selection.verdict,
            "rpmask.mask": selection.mask_digest,
        },
        description=_note(selection, pool, None),
        aliases=(SELECTED,),
    )


def _write_model(start: str, spec: TaskSpec, mask: Mask, weights: Path, components: Path) -> None:
    """Write the starting model under the mask; where its files can be copied, nothing has to be loaded."""
    if copy_masked(start, spec, mask, weights, components):
        return
    from rpmask.masks.masked import MaskHold
    from rpmask.tracking.register import saved
    from rpmask.train.models import load_classifier, load_image_processor, load_tokenizer

    model = load_classifier(start, spec)
    hold = MaskHold(model, mask)
    hold.apply()
    hold.verify()
    reader = load_image_processor(start) if spec.inputs == "image" else load_tokenizer(start)
    saved(model, reader)(weights, components)


def _noise(selection: Selection) -> str:
    """What the verdict is about, and what of the effect may last."""
    if selection.noise is None:
        return "No twins of the control ran: the interval is about examples, not about masks."
    lasts = (
        f" About {selection.shrunk:.4f} of the effect can be expected to last: the best of several looks "
        "better than it is."
        if selection.shrunk is not None
        else ""
    )
    return (
        f"Training alone moves a loss by {selection.noise:.4f} (standard deviation of the control and "
        f"{selection.twins} twins); the interval holds that noise.{lasts}"
    )


def _note(selection: Selection, pool: Pool, registered: dict[str, Any] | None) -> str:
    recipe = pool.candidates[selection.winner].recipe
    low, high = selection.interval
    named = {selection.best: "the best candidate", selection.control: "the control"}
    which = named.get(selection.winner, "the one asked for")
    says = {
        BETTER: "is better than the control",
        NO_EVIDENCE: "cannot be told from the control",
    }.get(selection.verdict, "is worse than the control")
    reference = "the control's" if selection.noise is None else "the control's and its twins' mean"
    lines = [
        f"**Verdict: {selection.verdict}.** Candidate {selection.best}, the first but for the control, "
        f"{says}: {reference} held-out loss minus its own is {selection.effect:.4f}, "
        f"{selection.confidence:.1%} interval [{low:.4f}, {high:.4f}] (paired, corrected for "
        f"{selection.compared} comparisons).",
        _noise(selection),
        f"Kept: {which}, candidate {selection.winner} ({recipe.importance}, allocation "
        f"{recipe.allocation:g}, temperature {recipe.temperature:.3g}), for `{pool.task}` at "
        f"{percent(pool.sparsity)}, drawn from `{pool.start}`.",
        f"Runs: sample `{selection.pool_run_id}`, screen `{selection.screen_run_id}`, "
        f"select `{selection.run_id}`.",
    ]
    if registered is not None:
        lines.append(
            f"Registered as `models:/{registered['name']}/{registered['version']}` "
            f"(@{registered['alias']}), before training.\n\nNext: "
            f"`rpmask finetune --from {selection.run_id}`"
        )
    return "\n\n".join(lines)
