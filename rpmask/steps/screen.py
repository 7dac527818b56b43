"""`screen`: race the candidates of a pool and record every rung."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import safetensors.numpy

from rpmask.randomized_masks import paper
from rpmask.randomized_masks.early_evaluation import RaceOutcome, race
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_worker import Leg, LegResult, RaceSetup
from rpmask.records import Pool, RacedCandidate, Score, ScreenReport
from rpmask.steps.context import Context, Tee, versions
from rpmask.steps.frame import Done, Step, log_outputs, run_step
from rpmask.steps.inputs import load_data, prepare, read_as, source_digest
from rpmask.steps.pool_artifacts import draw_twins, load_masks
from rpmask.steps.race_engine import deciding, open_engine, race_models, warmed_up
from rpmask.steps.race_plan import held_out, plan_race, resolve_race
from rpmask.steps.requests import ScreenRequest
from rpmask.tracking.study import Study, study_exists
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.engines.engine import Engine
    from rpmask.tracking.runs import StepRun


def screen(request: ScreenRequest, context: Context, pool_run_id: str) -> dict[str, Any]:
    """Race the pool of a `sample` run."""
    from rpmask.tracking.registry import fetch

    request.check()
    tracker = context.tracker
    pool = tracker.artifacts.record(tracker.step_of(pool_run_id, "sample"), "pool.json", Pool)
    request = resolve_race(request, pool.task, pool.sparsity)
    drawn_with = tracker.client.get_run(pool_run_id).data.params.get("recipe")
    if drawn_with == "paper" and request.evaluate_every != paper.EVALUATE_EVERY:
        context.console.say(
            "This pool was drawn with --recipe paper, and `screen` races it with the default recipe; "
            "`rpmask run --recipe paper` uses the paper's early evaluation."
        )
    data = load_data(pool.task, pool.data)
    decides = deciding(request)
    step = Step(
        name="screen",
        title=f"screen {pool.task} {percent(pool.sparsity)} k={len(pool.candidates)}",
        task=pool.task,
        level=pool.level,
        sparsity=pool.sparsity,
        inputs={
            "pool": pool_run_id,
            "teacher": source_digest(tracker, pool.teacher) if request.distilled else None,
            "data": read_as(data, pool.data),
        },
        decides=decides,
        params={"model": pool.model, "pool": pool_run_id, **_params(decides)},
        tags={"rpmask.pool": pool_run_id},
    )

    def work(run: StepRun) -> Done:
        with warmed_up(request) as warm:
            start = fetch(tracker, pool.start)
            prepared = prepare(data, pool.data, start)
            twins = draw_twins(pool, request.twins, start, data.spec, context)
            k, names = len(pool.candidates), [(c.recipe.id, c.mask_digest) for c in pool.candidates]
            names += [(recipe.id, mask.digest) for recipe, mask in twins]
            training, rules = plan_race(request, len(prepared.train), k, len(twins))
            context.console.say(
                f"Comparing {k} candidates without training, refitted on {training.refit} rows."
                if rules.rungs == (0,)
                else f"Racing {k} candidates{f' and {len(twins)} twins of the control' if twins else ''} to "
                f"step {rules.rungs[-1]} of {training.full_steps} (rungs "
                f"{', '.join(map(str, rules.rungs))}) on {prepared.train_rows}."
            )
            dense = fetch(tracker, pool.teacher) if request.distilled else start
            setup = RaceSetup(
                models=race_models(request, start, dense, data.spec),
                masks=(*load_masks(pool, context), *(mask for _, mask in twins)),
                digests=tuple(digest for _, digest in names),
                task=data.spec,
                training=training,
                train=prepared.train,
                held_out=held_out(prepared, request),
            )
            early = warm()
            with (
                context.console.working("race") as shown,
                closing(open_engine(request, setup, start, len(names), early)) as engine,
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
        report = _report(pool, run, setup, outcome, engine)
        report = replace(report, study=_tell(request, context, pool, report))
        _log(run, pool, report, outcome, refitted=training.refit > 0)
        return Done(_result(report), _note(report), {"race": seconds})

    return run_step(step, context, work)


def _params(decides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the race as parameters; a race on labels shows nothing of a teacher."""
    shown = dict(decides)
    terms = shown.pop("distill")
    if not decides["distilled"]:
        return {k: v for k, v in shown.items() if k not in ("dropout", "freeze_embeddings")}
    return {**shown, **{f"distill_{k}": v for k, v in terms.items() if k != "layer_map"}}


def _report(
    pool: Pool,
    run: StepRun,
    setup: RaceSetup,
    outcome: RaceOutcome,
    engine: Engine[Leg, LegResult],
) -> ScreenReport:
    training, k = setup.training, len(pool.candidates)
    return ScreenReport(
        pool_run_id=pool.run_id,
        task=pool.task,
        level=pool.level,
        sparsity=pool.sparsity,
        metric_name=setup.task.primary,
        engine=engine.name,
        workers=engine.workers,
        threads=training.threads,
        examples=len(setup.held_out.labels),
        batch_size=training.batch_size,
        steps_spent=outcome.steps_spent,
        steps_full=training.full_steps * k,
        candidates=outcome.candidates[:k],
        twins=outcome.candidates[k:],
        run_id=run.run_id,
        versions=versions("screen"),
    )


def _tell(request: ScreenRequest, context: Context, pool: Pool, report: ScreenReport) -> str | None:
    """Report each candidate to the study; return the study that a later pool continues."""
    if pool.study is None or not study_exists(request.storage, context.folder, pool.study):
        return pool.study
    study, numbers = Study(request.storage, context.folder, pool.study).for_race(
        context.tracker.lineage(report.pool_run_id), report.run_id
    )
    refused = sum(
        not study.tell(numbers[candidate.trial], raced)
        for candidate, raced in zip(pool.candidates, report.candidates, strict=True)
        if candidate.trial is not None
    )
    if refused:
        option = "--race-labels" if study.kind == "loss" else "--race-distill"
        context.console.say(
            f"The study learnt nothing from {refused} candidates: its values are {study.kind}s, those of "
            f"races with {option}."
        )
    return study.name


def _log(
    run: StepRun, pool: Pool, report: ScreenReport, outcome: RaceOutcome, refitted: bool
) -> None:
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    losses = {f"candidate-{index}": values for index, values in outcome.losses.items()}
    safetensors.numpy.save_file(losses, run.work / "losses.safetensors")
    run.log_file(run.work / "losses.safetensors")
    _log_candidates(run, pool, report)
    log_outputs(
        run,
        intro=_note(report),
        documents={"screen.json": report},
        charts=[
            Chart("race", "Every candidate to the step where it ended.", charts.race(report, pool))
        ],
        metrics={
            **report.pick("steps_spent", "steps_full"),
            "refit_seconds": outcome.refit_seconds if refitted else None,
            "train_seconds": outcome.train_seconds,
        },
    )


def _log_candidates(run: StepRun, pool: Pool, report: ScreenReport) -> None:
    """Log a child run for each candidate."""
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
                **recipe.pick("temperature", "sample_ratio", "importance", "allocation"),
                **recipe.pick("granularity", "seed"),
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
        **report.pick("pool_run_id", "engine", "workers", "steps_spent", "steps_full", "study"),
        "candidates": [_raced(raced) for raced in report.candidates],
        "twins": [_raced(raced) for raced in report.twins],
    }


def _raced(raced: RacedCandidate) -> dict[str, Any]:
    return {
        "id": raced.recipe_id,
        "status": raced.status,
        "rungs": [_rung(score) for score in raced.rungs],
        "score": raced.rungs[-1].value if raced.rungs else None,
    }


def _rung(score: Score) -> dict[str, Any]:
    distance = () if score.distance is None else ("distance",)  # a race on labels has none
    return score.pick("step", "loss", "metric", *distance)


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
