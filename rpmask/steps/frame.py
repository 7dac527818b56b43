"""The frame of every step: reuse its finished MLflow run, or start or resume one, do the work, close the run.

A verb describes its step and hands `run_step` a function that does the work; the rest is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rpmask.jsonrecord import Record
from rpmask.steps.context import Context, Unfinished
from rpmask.steps.decides import step_digest
from rpmask.tracking.step import Step

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart, StepRun


@dataclass(frozen=True)
class Done:
    """The result of a step as `--json` prints it, the run's description, and the seconds each part took."""

    result: Mapping[str, Any]
    note: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def run_step(
    step: Step,
    context: Context,
    work: Callable[[StepRun], Done],
    reuse: Callable[[StepRun], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the result of the step's finished run (through `reuse`, if given), or do the work."""
    from rpmask.tracking.monitoring import system_metrics
    from rpmask.tracking.open_run import finished_run, open_run

    step = replace(step, key=step_digest(step.name, step.inputs, step.decides))
    if context.looking is not None:
        finished = finished_run(context.tracker, step)
        if finished is None:
            raise Unfinished
        context.looking.append(finished.run_id)
        return finished.result()
    with (
        context.schedule.during(step.name) if context.schedule else nullcontext(),
        open_run(context.tracker, step, force=context.force, parent=context.parent) as run,
    ):
        if run.reused:
            context.console.say(
                f"This `{step.name}` has already finished; reusing run {run.run_id}."
            )
            return reuse(run) if reuse else run.result()
        if context.parent is None and context.run_file and context.run_file[0] == step.name:
            run.log_text(f"{step.name}.yaml", context.run_file[1]())
        with system_metrics(run) if context.system_metrics else nullcontext():
            done = work(run)
        return run.finish(done.result, done.note, **done.seconds)


def log_outputs(
    run: StepRun,
    *,
    documents: Mapping[str, Any] | None = None,
    charts: Sequence[Chart] = (),
    intro: str = "",
    metrics: Mapping[str, float | None] | None = None,
) -> None:
    """Log JSON documents, charts under an introduction, and the metrics that are finite numbers."""
    for name, document in (documents or {}).items():
        run.log_json(name, document.to_dict() if isinstance(document, Record) else document)
    if charts:
        run.log_charts(charts, intro=intro)
    for name, value in (metrics or {}).items():
        if value is not None and math.isfinite(value):
            run.metric(name, value)


def address(model: Mapping[str, Any]) -> str:
    """Return the address of a registered version, given as the `model` of a step's result."""
    return f"models:/{model['name']}/{model['version']}"


def registered_as(model: Mapping[str, Any], following: str) -> str:
    """Return the closing lines of a run's description: the registered version and the next command."""
    alias = f" (@{model['alias']})" if model["alias"] else ""
    return f"\n\nRegistered as `{address(model)}`{alias}.\n\nNext: `{following}`"


def by_group(**groups: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of several groups in one dict, as GROUP/NAME."""
    return {
        f"{group}/{name}": value for group, each in groups.items() for name, value in each.items()
    }


def changed(record: Record, *names: str) -> dict[str, Any]:
    """Return those of the named fields that differ from their defaults."""
    usual = type(record)()
    return {
        name: getattr(record, name)
        for name in names
        if getattr(record, name) != getattr(usual, name)
    }
