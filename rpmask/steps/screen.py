"""`screen`: race the candidates of a pool and write down every rung."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.numpy

from rpmask.randomized_masks.early_evaluation import RaceOutcome, race
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.randomized_masks.race_worker import Leg, LegResult, RaceSetup
from rpmask.records import Pool, RacedCandidate, Score, ScreenReport
from rpmask.steps.context import Context, Tee, versions
from rpmask.steps.decides import step_digest
from rpmask.steps.engines import deciding, opened_engine, race_models, warmed_up
from rpmask.steps.inputs import load_data, prepare, read_as, source_digest
from rpmask.steps.poolmasks import load_masks
from rpmask.steps.raceplan import held_out, plan_race, settled_race
from rpmask.steps.requests import ScreenRequest
from rpmask.steps.twins import draw_twins
from rpmask.tracking.study import Study, study_exists
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.engines.engine import Engine
    from rpmask.tracking.runs import StepRun


def screen(request: ScreenRequest, context: Context, pool_run_id: str) -> dict[str, Any]:
    """Race the pool of a `sample` run."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import fetch
    from rpmask.tracking.runs import StepKey

    request.check()
    tracker = context.tracker
    pool = tracker.artifacts.record(tracker.step_of(pool_run_id, "sample"), "pool.json", Pool)
    request = settled_race(request, pool.task, pool.sparsity)
    data = load_data(pool.task, pool.data)
    decides = deciding(request)
    inputs = {
        "pool": pool_run_id,
        "teacher": source_digest(tracker, pool.teacher) if request.distilled else None,
        "data": read_as(data, pool.data),
    }
    key = step_digest("screen", inputs, decides)
    step_key = StepKey(
        step="screen",
        key=key,
        name=f"screen {pool.task} {percent(pool.sparsity)} k={len(pool.candidates)}",
        task=pool.task,
        level=pool.level,
        sparsity=pool.sparsity,
        params={"model": pool.model, "pool": pool_run_id, **_shown_params(decides)},
        tags={"rpmask.pool": pool_run_id},
    )
    with open_run(tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This pool was screened before: run {run.run_id}.")
            return run.result()
        with warmed_up(request) as warm:
            start = fetch(context.tracker, pool.start)
            prepared = prepare(data, pool.data, start)
            twins = draw_twins(pool, request.twins, start, data.spec, context)
            k, names = len(pool.candidates), [(c.recipe.id, c.mask_digest) for c in pool.candidates]
            names += [(recipe.id, mask.digest) for recipe, mask in twins]
            training, rules = plan_race(request, len(prepared.train), k, len(twins))
            beside = f" and {len(twins)} twins of the control" if twins else ""
            context.console.say(
                f"Racing {k} candidates{beside} to step {rules.rungs[-1]} of "
                f"{training.full_steps} (rungs {', '.join(map(str, rules.rungs))}) on "
                f"{len(prepared.train):,} rows."
            )
            dense = fetch(context.tracker, pool.teacher) if request.distilled else start
            setup = RaceSetup(
                models=race_models(request, start, dense, data.spec),
                masks=(*load_masks(pool, pool.run_id, context), *(mask for _, mask in twins)),
                digests=tuple(digest for _, digest in names),
                task=data.spec,
                training=training,
                train=prepared.train,
                held_out=held_out(prepared, request),
            )
            early = warm()
            with (
                context.console.working("race") as shown,
                opened_engine(request, setup, start, len(names), early) as engine,
            ):
                started = time.monotonic()
                outcome = race(
                    engine,
                    rules,
                    names,
                    pool.control,
                    RungFiles(run.work / "rungs"),
                    Tee(shown, run, candidates=k),
                    twins=range(k, len(names)),
                )
                seconds = time.monotonic() - started
        report = _report(request, pool, pool_run_id, run, setup, training, outcome, engine)
        report = replace(report, study=_tell(request, context, pool, report))
        _write(run, pool, report, outcome)
        if training.refit:
            run.metric("refit_seconds", outcome.refit_seconds)
        run.metric("train_seconds", outcome.train_seconds)
        return run.finish(_result(report), _note(report), race=seconds)


def _shown_params(decides: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the race, a parameter each; of a race on labels, nothing of a teacher."""
    shown = dict(decides)
    terms = shown.pop("distill")
    if not decides["distilled"]:
        return {k: v for k, v in shown.items() if k not in ("dropout", "freeze_embeddings")}
    return {**shown, **{f"distill_{k}": v for k, v in terms.items() if k != "layer_map"}}


def _report(
    request: ScreenRequest,
    pool: Pool,
    pool_run_id: str,
    run: StepRun,
    setup: RaceSetup,
    training: RaceTraining,
    outcome: RaceOutcome,
    engine: Engine[Leg, LegResult],
) -> ScreenReport:
    return ScreenReport(
        pool_run_id=pool_run_id,
        task=pool.task,
        level=pool.level,
        sparsity=pool.sparsity,
        metric_name=setup.task.primary,
        engine=engine.name,
        workers=engine.workers,
        threads=training.threads,
        examples=len(setup.held_out),
        batch_size=training.batch_size,
        steps_spent=outcome.steps_spent,
        steps_full=training.full_steps * len(pool.candidates),
        candidates=outcome.candidates[: len(pool.candidates)],
        twins=outcome.candidates[len(pool.candidates) :],
        run_id=run.run_id,
        versions=versions(),
    )


def _tell(request: ScreenRequest, context: Context, pool: Pool, report: ScreenReport) -> str | None:
    """Close the trials that `sample` asked for; the study that a next pool continues."""
    if pool.study is None or not study_exists(request.storage, context.folder, pool.study):
        return pool.study
    ledger, numbers = Study(request.storage, context.folder, pool.study).for_race(
        context.tracker.lineage(report.pool_run_id), report.run_id
    )
    refused = sum(
        not ledger.tell(numbers[candidate.trial], raced)
        for candidate, raced in zip(pool.candidates, report.candidates, strict=True)
        if candidate.trial is not None
    )
    if refused:
        option = "--race-labels" if ledger.kind == "loss" else "--race-distill"
        context.console.say(
            f"The study learnt nothing from {refused} candidates: its values are {ledger.kind}s, those of "
            f"races with {option}."
        )
    return ledger.name


def _write(run: StepRun, pool: Pool, report: ScreenReport, outcome: RaceOutcome) -> None:
    run.log_json("screen.json", report.to_dict())
    arrays = {f"candidate-{i}": losses for i, losses in outcome.losses.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.safetensors"
        safetensors.numpy.save_file(arrays, path)
        run.log_file(path)
    _write_children(run, pool, report)
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    drawn = Chart("race", "Every candidate to the step where it ended.", charts.race(report, pool))
    run.log_charts([drawn], intro=_note(report))
    run.metric("steps_spent", report.steps_spent)
    run.metric("steps_full", report.steps_full)


def _write_children(run: StepRun, pool: Pool, report: ScreenReport) -> None:
    from rpmask.tracking.children import children, log_child

    known = children(run) if run.resumed else {}
    for candidate, raced in zip(pool.candidates, report.candidates, strict=True):
        recipe = candidate.recipe
        points = [
            (name, value, score.step)
            for score in raced.rungs
            for name, value in (
                ("loss", score.loss),
                ("distance", math.nan if score.distance is None else score.distance),
                (report.metric_name, score.metric),
                ("train_loss", score.train_loss),
            )
            if math.isfinite(value)
        ]
        log_child(
            run,
            raced.index,
            f"candidate {raced.index}{' (control)' if candidate.control else ''}",
            params={
                "temperature": recipe.temperature,
                "sample_ratio": recipe.sample_ratio,
                "importance": recipe.importance,
                "allocation": recipe.allocation,
                "granularity": recipe.granularity,
                "seed": recipe.seed,
                "overlap": round(candidate.overlap_with_control, 6),
            },
            tags={
                "status": raced.status,
                "recipe": raced.recipe_id,
                "mask": raced.mask_digest,
                "control": str(candidate.control).lower(),
                **({"reason": raced.reason} if raced.reason else {}),
            },
            metrics=points,
            known=known.get(raced.index),
        )


def _result(report: ScreenReport) -> dict[str, Any]:
    return {
        "pool_run_id": report.pool_run_id,
        "engine": report.engine,
        "workers": report.workers,
        "steps_spent": report.steps_spent,
        "steps_full": report.steps_full,
        "candidates": [_raced(raced) for raced in report.candidates],
        "twins": [_raced(raced) for raced in report.twins],
        "study": report.study,
    }


def _raced(raced: RacedCandidate) -> dict[str, Any]:
    return {
        "id": raced.recipe_id,
        "status": raced.status,
        "rungs": [_rung(score) for score in raced.rungs],
        "score": raced.rungs[-1].value if raced.rungs else None,
    }


def _rung(score: Score) -> dict[str, Any]:
    shown = {"step": score.step, "loss": score.loss, "metric": score.metric}
    return shown if score.distance is None else {**shown, "distance": score.distance}


def _note(report: ScreenReport) -> str:
    finished = [raced for raced in report.candidates if raced.status == "finished"]
    best = min(finished, key=lambda raced: raced.rungs[-1].value)
    last = best.rungs[-1]
    how = f"Lowest loss: candidate {best.index}, {last.loss:.4f} "
    if last.distance is not None:
        how = (
            f"Nearest the dense model's answers: candidate {best.index}, distance "
            f"{last.distance:.4f}, loss {last.loss:.4f} "
        )
    share = report.steps_spent / report.steps_full
    return (
        f"**Raced {len(report.candidates)} candidates** for `{report.task}` at "
        f"{percent(report.sparsity)} on {report.examples} held-out examples; "
        f"{len(finished)} reached the last rung. Spent {report.steps_spent} training steps, "
        f"{share:.0%} of what training each for the whole schedule costs.\n\n"
        f"{how}({report.metric_name} {last.metric:.4f}).\n\n"
        f"Next: `rpmask select --from {report.run_id}`"
    )
