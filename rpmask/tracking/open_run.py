"""Open the MLflow run of a step: reuse a finished run, continue an interrupted one, or create one.

A step's key is a digest of its inputs, parameters and code. A finished run with the same key is reused; an
interrupted one continues under its own id. A lock, held until the step ends, lets one process of a machine
at a time compute a key.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from mlflow.entities import RunTag

from rpmask.tracking.artifacts import delete_partial_uploads
from rpmask.tracking.locks import hold_lock
from rpmask.tracking.runs import PARENT, StepRun
from rpmask.tracking.signals import signals_deferred
from rpmask.tracking.step import Step
from rpmask.tracking.tracker import DEAD, NOTE, Tracker, is_result


@contextmanager
def open_run(
    tracker: Tracker, step: Step, *, force: bool = False, parent: str | None = None
) -> Iterator[StepRun]:
    """The run of a step: finished, interrupted and now continued, or new."""
    with ExitStack() as stack:
        stack.enter_context(hold_lock(f"{tracker.place}|{step.key}"))
        with signals_deferred(tracker.uri):  # otherwise a stop here leaves the run open
            run = _begin(tracker, step, force, parent)
            stack.enter_context(run)
        yield run


def finished_run(tracker: Tracker, step: Step) -> StepRun | None:
    """The finished run of a step, if there is one; nothing is written."""
    for run in tracker.find(key=step.key):
        if is_result(run):
            return StepRun(tracker, step, run.info.run_id, reused=True)
    return None


def _begin(tracker: Tracker, step: Step, force: bool, parent: str | None) -> StepRun:
    attached = tracker.attached_run if parent is None else None
    known = None if force else _finished(tracker, step, attached)
    if known is None and not force and not attached:
        known = _interrupted(tracker, step)
    if known is not None:
        return known
    tags = {
        "rpmask.step": step.name,
        "rpmask.key": step.key,
        "rpmask.task": step.task,
        "rpmask.level": str(step.level),
        "rpmask.host": socket.gethostname(),
        **step.tags,
    }
    if step.sparsity is not None:
        tags["rpmask.sparsity"] = f"{step.sparsity:g}"
    if parent:
        tags[PARENT] = parent
    if attached:
        run_id = attached
        _take_attached(tracker, run_id, step, tags)
    else:
        created = tracker.client.create_run(tracker.experiment_id, tags=tags, run_name=step.title)
        run_id = created.info.run_id
    run = StepRun(tracker, step, run_id)
    if force:
        run.delete_work()
    run.log_params(step.params)
    return run


def _finished(tracker: Tracker, step: Step, attached: str | None) -> StepRun | None:
    for run in tracker.find(key=step.key):
        if is_result(run):
            if attached:
                note = f"Nothing to do: this `{step.name}` had already finished as run `{run.info.run_id}`."
                tags = {"rpmask.step": step.name, "rpmask.reused": run.info.run_id, NOTE: note}
                _take_attached(tracker, attached, step, tags)
            reused = StepRun(tracker, step, run.info.run_id, reused=True)
            reused.delete_work()  # a kill may have come between the run's end and this
            return reused
    return None


def _interrupted(tracker: Tracker, step: Step) -> StepRun | None:
    for run in tracker.find(key=step.key, host=socket.gethostname()):
        if run.info.status in ("RUNNING", *DEAD):
            tracker.client.update_run(run.info.run_id, status="RUNNING")
            resumed = StepRun(tracker, step, run.info.run_id, resumed=run)
            resumed.log_params(step.params)  # a kill may have come before the first attempt did
            delete_partial_uploads(run.info.artifact_uri)
            return resumed
    return None


def _take_attached(tracker: Tracker, run_id: str, step: Step, tags: Mapping[str, str]) -> None:
    """Name the run that `mlflow run` created after the first step that opens, which it belongs to."""
    tracker.attached_run = None
    tracker.client.update_run(run_id, name=step.title)
    tracker.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
