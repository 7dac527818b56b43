"""`tune`: let the study learn where good masks are, until a budget of training steps is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.steps.context import Context, available_cores
from rpmask.steps.decides import step_digest
from rpmask.steps.densemodel import from_dense
from rpmask.steps.inputs import load_data, read_as, source_digest
from rpmask.steps.requests import TuneRequest
from rpmask.steps.search import generation
from rpmask.tracking.study import Study
from rpmask.words import MEASURED, percent


def tune(request: TuneRequest, context: Context) -> dict[str, Any]:
    """Ask, screen and tell, a generation at a time."""
    from rpmask.tracking.opening import open_run
    from rpmask.tracking.registry import pin
    from rpmask.tracking.runs import StepKey

    request.check()
    first = request.sample
    data = load_data(first.task, first.data)
    first = from_dense(first, first.seed, request.screen.threads or available_cores(), context)
    start = pin(context.tracker, first.start or first.model)
    first = replace(first, task=data.spec.name, start=start)
    inputs = {"model": source_digest(context.tracker, start), "data": read_as(data, first.data)}
    step_key = StepKey(
        step="tune",
        key=step_digest("tune", inputs, replace(request, sample=first).to_dict()),
        name=f"tune {first.task} {percent(first.sparsity)}",
        task=first.task,
        level=first.level,
        sparsity=first.sparsity,
        params={
            "task": first.task,
            "model": first.model,
            "sparsity": first.sparsity,
            "steps": request.steps,
            "k": first.k,
            "seed": first.seed,
            "sampler": first.sampler,
            "importance": first.space.importances,
            "allocation": first.space.allocations,
            "temperature": first.space.spelled("temperature"),
            "sample_ratio": first.space.spelled("sample_ratio"),
        },
        tags={},
    )
    with open_run(context.tracker, step_key, force=context.force, parent=context.parent) as run:
        if run.reused:
            context.console.say(f"This was tuned before: run {run.run_id}.")
            return run.result()
        done = _generations(request, first, context.under(run.run_id))
        ledger = Study(first.storage, context.folder, done[-1]["screen"]["study"])
        trials, importances = ledger.history(), ledger.importances()
        best = _best(done)
        spent = sum(one["screen"]["steps_spent"] for one in done)
        note = _note(request, done, best, spent, importances)
        run.log_charts(ledger.charts(MEASURED[ledger.kind or "loss"]), intro=note)
        run.metric("steps_spent", spent)
        run.metric("trials", len(trials))
        for number, one in enumerate(done, start=1):
            run.metric("best_score", _best([one])["score"], number)
        return run.finish(
            {
                "study": ledger.name,
                "generations": done,
                "steps_spent": spent,
                "best": best,
                "importances": importances,
            },
            note,
        )


def _generations(request: TuneRequest, first: Any, context: Context) -> list[dict[str, Any]]:
    """As many as the budget holds; one that would not fit is not begun."""
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
    """The first at the end of the last race, which the best of earlier ones ran in too."""
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
        f"({best['importance']}, allocation {best['allocation']:g}, temperature "
        f"{best['temperature']:.3g}).\n\n"
        + (f"What mattered: {weight}.\n\n" if weight else "")
        + f"Next: `rpmask select --from {best['screen_run_id']}`"
    )
