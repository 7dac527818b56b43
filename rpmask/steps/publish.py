"""What a model card says: the model's metrics, the evidence for its mask, and how to make it again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rpmask.deploy.model_card import CardFacts
from rpmask.errors import RpmaskError
from rpmask.records import Selection
from rpmask.steps.context import Context
from rpmask.steps.resolve import RESULTS, Resolved

if TYPE_CHECKING:
    from mlflow.entities import Run

VERDICTS = {
    "better": "better than the magnitude mask by more than chance",
    "no-evidence": "not told apart from the magnitude mask",
    "worse": "worse than the magnitude mask",
}


def card_facts(found: Resolved, context: Context) -> CardFacts:
    """Collect them from the records of the runs that made a model."""
    from rpmask.tracking.registry import find_version

    if found.step not in RESULTS:
        raise RpmaskError(
            f"'{found.weights}' is a mask that was selected, and not trained: it has no metrics on dev.",
            f"Train it with `rpmask finetune --from {found.weights}`, and publish the result.",
        )
    artifacts = context.tracker.artifacts
    result = artifacts.record(found.run_id or "", *RESULTS[found.step])
    selection, chosen_by = None, getattr(result, "selection_run_id", None)
    if chosen_by and context.tracker.step_name(chosen_by) == "select":
        selection = artifacts.record(chosen_by, "selection.json", Selection)
    runs = [found.run_id or ""]
    if selection:
        runs += [chosen_by or "", selection.screen_run_id, selection.pool_run_id]
    commands, files = _run_files(list(reversed(runs)), context)
    return CardFacts(
        model=found.model,
        description=find_version(context.tracker, found.weights).description or "",
        dev=result.dev,
        dense=result.dense,
        evidence=_evidence(selection) if selection else "",
        commands=commands,
        run_files=files,
    )


def _evidence(selection: Selection) -> str:
    low, high = selection.interval or (float("nan"), float("nan"))
    noise = (
        f" The noise of training, measured on {selection.twins} twins of the magnitude mask, is part of it."
        if selection.noise is not None
        else ""
    )
    best, kept = f"candidate {selection.best}", f"candidate {selection.winner}"
    return (
        f"In a race of {len(selection.ranking)} masks that reached the end, {best} was "
        f"**{VERDICTS[selection.verdict]}** (`{selection.verdict}`). On the selection split, the magnitude "
        f"mask's loss minus its own was {selection.effect:.4f}, with a {selection.confidence:.1%} interval "
        f"from {low:.4f} to {high:.4f}, corrected for {selection.compared} comparisons.{noise} The "
        f"model has the mask of {kept}. Dev decided nothing."
    )


def _run_files(runs: list[str], context: Context) -> tuple[tuple[str, ...], dict[str, str]]:
    """The run files of a pipeline, or else of its steps in order, and the commands that read them."""
    from rpmask.tracking.runs import PARENT

    found = [context.tracker.client.get_run(run_id) for run_id in runs]
    parent = found[-1].data.tags.get(PARENT)
    if parent is not None:
        found = [context.tracker.client.get_run(parent)]
    commands, files = [], {}
    for run in found:
        text = _run_file(run, context)
        if text is None:
            return (), {}  # a step was called from Python, and has no file
        step = run.data.tags["rpmask.step"]
        commands.append(f"rpmask {step} --config {step}.yaml")
        files[f"{step}.yaml"] = text
    return tuple(commands), files


def _run_file(run: Run, context: Context) -> str | None:
    """A run file without the id of the run that it continues, which another store does not have."""
    step = run.data.tags.get("rpmask.step", "")
    try:
        path = context.tracker.artifacts.path(run.info.run_id, f"{step}.yaml")
    except RpmaskError:
        return None
    return re.sub(r"^from: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
