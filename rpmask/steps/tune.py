"""`tune`: let the study learn where good masks are, until a budget of training steps is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rpmask.steps.context import Context, available_cores
from rpmask.steps.dense_model import from_dense
from rpmask.steps.frame import Done, Step, log_outputs, run_step
from rpmask.steps.generations import generation
from rpmask.steps.inputs import load_data, read_as, source_digest
from rpmask.steps.requests import SampleRequest, TuneRequest
from rpmask.tracking.study import Study
from rpmask.words import MEASURED, allocation_word, percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun


def tune(request: TuneRequest, context: Context) -> dict[str, Any]:
    """Sample and screen one generation after another."""
    from rpmask.tracking.registry import pin

    request.check()
    first = request.sample
    data = load_data(first.task, first.data)
    first = from_dense(first, first.seed, request.screen.threads or available_cores(), context)
    start = pin(context.tracker, first.start or first.model)
    first = replace(first, task=data.spec.name, start=start)
    space = first.space
    step = Step(
        name="tune",
        title=f"tune {first.task} {percent(first.sparsity)}",
        task=first.task,
        level=first.level,
        sparsity=first.sparsity,
        inputs={
            "model": source_digest(context.tracker, start),
            "data": read_as(data, first.data),
        },
        decides=replace(request, sample=first).to_dict(),
        params={
            **first.pick("task", "model", "sparsity", "k", "seed", "sampler"),
            "steps": request.steps,
            "importance": space.importances,
            "allocation": space.allocations,
            "temperature": space.spelled("temperature"),
            "sample_ratio": space.spelled("sample_ratio"),
        },
    )

    def work(run: StepRun) -> Done:
        done = generations_within(request, first, context.under(run.run_id))
        study = Study(first.storage, context.folder, done[-1]["screen"]["study"])
        best, importances = _best(done), study.importances()
        spent = sum(one["screen"]["steps_spent"] for one in done)
        note = _note(request, done, best, spent, importances)
        log_outputs(
            run,
            intro=note,
            charts=study.charts(MEASURED[study.kind or "loss"]),
            metrics={"steps_spent": spent, "trials": len(study.history())},
        )
        for number, one in enumerate(done, start=1):
            run.metric("best_score", _best([one])["score"], number)
        result = {
            "study": study.name,
            "generations": done,
            "steps_spent": spent,
            "best": best,
            "importances": importances,
        }
        return Done(result, note)

    return run_step(step, context, work)


def generations_within(
    request: TuneRequest, first: SampleRequest, context: Context
) -> list[dict[str, Any]]:
    """Run as many generations as fit into the budget, judged by the most expensive race so far."""
    done: list[dict[str, Any]] = []
    spent = dearest = 0
    while not done or spent + dearest <= request.steps:  # the first one shows what a race costs
        context.console.say(f"Generation {len(done) + 1}: {spent} of {request.steps} steps spent.")
        done.append(generation(first, request.screen, context, done[-1] if done else None))
        steps = done[-1]["screen"]["steps_spent"]
        spent, dearest = spent + steps, max(dearest, steps)
    if spent > request.steps:
        context.console.say(
            f"One race takes {spent} steps, more than the {request.steps} of --steps."
        )
    return done


def _best(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the winner of the last race, in which the best of earlier ones ran too."""
    last = done[-1]
    finished = [
        (raced["score"], i)
        for i, raced in enumerate(last["screen"]["candidates"])
        if raced["status"] == "finished"
    ]
    score, index = min(finished)
    drawn = last["sample"]["candidates"][index]
    shown = ("id", "importance", "allocation", "temperature", "sample_ratio", "control")
    return {
        "candidate": index,
        "score": score,
        "screen_run_id": last["screen"]["run_id"],
        **{name: drawn[name] for name in shown},
    }


def _note(
    request: TuneRequest,
    done: list[dict[str, Any]],
    best: dict[str, Any],
    spent: int,
    importances: dict[str, float],
) -> str:
    weight = ", ".join(f"{name} {share:.0%}" for name, share in importances.items())
    return (
        f"**{len(done)} generations, {spent} of {request.steps} training steps.** Lowest score: "
        f"{best['score']:.4f}, candidate {best['candidate']} of the last race "
        f"({best['importance']}, allocation {allocation_word(best['allocation'])}, temperature "
        f"{best['temperature']:.3g}).\n\n"
        + (f"What mattered: {weight}.\n\n" if weight else "")
        + f"Next: `rpmask select --from {best['screen_run_id']}`"
    )
