"""`select`: keep the winner of a race, with evidence, and register it.

The best candidate is compared with the control on the same examples. Without evidence that it is better,
the control is kept: a mask chosen by luck is not better next time. `run` always continues with the top-ranked
mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
from rpmask.steps.frame import Done, Step, log_outputs, registered_as, run_step
from rpmask.steps.inputs import encoder_of, spec_of
from rpmask.steps.more_evidence import more_evidence
from rpmask.steps.requests import SelectRequest
from rpmask.steps.resolve import MASK_FILE, candidate_file, load_proved
from rpmask.train.masked_copy import copy_masked
from rpmask.words import allocation_word, percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun


def select(request: SelectRequest, context: Context, screen_run_id: str) -> dict[str, Any]:
    """Select from the race of a `screen` run."""
    request.check()
    records = context.tracker.artifacts
    context.tracker.step_of(screen_run_id, "screen")
    report = records.record(screen_run_id, "screen.json", ScreenReport)
    pool = records.record(report.pool_run_id, "pool.json", Pool)
    step = Step(
        name="select",
        title=f"select {report.task} {percent(report.sparsity)}",
        task=report.task,
        level=report.level,
        sparsity=report.sparsity,
        inputs={"screen": screen_run_id},
        decides=request.to_dict(),
        params={"model": pool.model, "screen": screen_run_id, **request.to_dict()},
        tags={"rpmask.screen": screen_run_id, "rpmask.pool": report.pool_run_id},
    )

    def work(run: StepRun) -> Done:
        context.console.say(f"Comparing {len(report.candidates)} candidates with the control.")
        losses = read_losses(records.path(screen_run_id, "losses.safetensors"), report)
        selection, paired = judge(request, report, pool, losses, run.run_id)
        kept = candidate_file(selection.winner)
        mask = load_proved(context, report.pool_run_id, kept, selection.mask_digest)
        save_mask(mask, run.work / MASK_FILE, pool.candidates[selection.winner].recipe)
        run.log_file(run.work / MASK_FILE)
        log_outputs(
            run,
            intro=_note(selection, pool),
            documents={"selection.json": selection},
            charts=_charts(selection, report, pool, paired),
            metrics={**selection.metrics, **selection.pick("effect", "shrunk", "noise")},
        )
        run.tag(verdict=selection.verdict, winner=str(selection.winner))
        registered = _register(run, pool, selection, mask)
        picked = selection.pick(
            *(
                "screen_run_id",
                "winner",
                "best",
                "verdict",
                "effect",
                "interval",
                "shrunk",
                "noise",
            ),
            "twins",
        )
        finetune = f"rpmask finetune --from {run.run_id}"
        note = _note(selection, pool) + registered_as(registered, finetune)
        return Done(
            {**picked, "model": registered, "more_evidence": more_evidence(selection, report)}, note
        )

    return run_step(step, context, work)


def judge(
    request: SelectRequest,
    report: ScreenReport,
    pool: Pool,
    losses: Mapping[int, np.ndarray],
    run_id: str,
) -> tuple[Selection, dict[int, Paired]]:
    """Rank the candidates that finished, and compare the best of them with the control."""
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
        winner = _chosen(int(request.take), report)
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
        versions=versions("select"),
    )
    return selection, paired


def _chosen(index: int, report: ScreenReport) -> int:
    """Return the candidate that the user chose, if it finished the race."""
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


def _charts(
    selection: Selection,
    report: ScreenReport,
    pool: Pool,
    paired: Mapping[int, Paired],
) -> list[Chart]:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    winner = selection.winner
    intervals = {i: (each.effect, each.low, each.high) for i, each in paired.items()}
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
    """Register the starting weights under the selected mask, before any training."""
    from rpmask.tracking.register_model import register
    from rpmask.tracking.registry import SELECTED, fetch

    start = fetch(run.tracker, pool.start)
    spec = spec_of(pool.task, pool.data)

    def write_model(weights: Path, components: Path) -> None:
        if copy_masked(start, spec, mask, weights, components):
            return  # the files could be copied, and nothing has to be loaded
        from rpmask.masks.masked import MaskHold
        from rpmask.tracking.register_model import writer_of
        from rpmask.train.models import load_classifier

        model = load_classifier(start, spec)
        hold = MaskHold(model, mask)
        hold.apply()
        hold.verify()
        writer_of(model, encoder_of(start, spec, pool.data).tokenizer)(weights, components)

    return register(
        run,
        write_model,
        spec,
        max_length=pool.data.max_length,
        tags={
            "rpmask.step": "select",
            "rpmask.sparsity": repr(float(pool.sparsity)),
            "rpmask.verdict": selection.verdict,
            "rpmask.mask": selection.mask_digest,
        },
        description=_note(selection, pool),
        aliases=(SELECTED,),
    )


def _noise(selection: Selection) -> str:
    """Say what the interval covers, and how much of the effect may last."""
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


def _note(selection: Selection, pool: Pool) -> str:
    recipe = pool.candidates[selection.winner].recipe
    low, high = selection.interval
    named = {selection.best: "the best candidate", selection.control: "the control"}
    which = named.get(selection.winner, "the requested one")
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
        f"{allocation_word(recipe.allocation)}, temperature {recipe.temperature:.3g}), for `{pool.task}` at "
        f"{percent(pool.sparsity)}, drawn from `{pool.start}`.",
        f"Runs: sample `{selection.pool_run_id}`, screen `{selection.screen_run_id}`, "
        f"select `{selection.run_id}`.",
    ]
    return "\n\n".join(lines)
