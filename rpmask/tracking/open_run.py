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
from rpmask.tracking.runs import PARENT, StepKey, StepRun
from rpmask.tracking.signals import signals_deferred
from rpmask.tracking.tracker import DEAD, NOTE, Tracker, is_result


@contextmanager
def open_run(
    tracker: Tracker, key: StepKey, *, force: bool = False, parent: str | None = None
) -> Iterator[StepRun]:
    """The run of a step: finished, interrupted and now continued, or new."""
    with ExitStack() as stack:
        stack.enter_context(hold_lock(f"{tracker.place}|{key.key}"))
        with signals_deferred(tracker.uri):  # otherwise a stop here leaves the run open
            step = _begin(tracker, key, force, parent)
            stack.enter_context(step)
        yield step


def finished_run(tracker: Tracker, key: StepKey) -> StepRun | None:
    """The finished run of a step, if there is one; nothing is written."""
    for run in tracker.find(key=key.key):
        if is_result(run):
            return StepRun(tracker, key, run.info.run_id, reused=True)
    return None


def _begin(tracker: Tracker, key: StepKey, force: bool, parent: str | None) -> StepRun:
    attached = tracker.attached_run if parent is None else None
    known = None if force else _finished(tracker, key, attached)
    if known is None and not force and not attached:
        known = _interrupted(tracker, key)
    if known is not None:
        return known
    tags = {
        "rpmask.step": key.step,
        "rpmask.key": key.key,
        "rpmask.task": key.task,
        "rpmask.level": str(key.level),
        "rpmask.host": socket.gethostname(),
        **key.tags,
    }
    if key.sparsity is not None:
        tags["rpmask.sparsity"] = f"{key.sparsity:g}"
    if parent:
        tags[PARENT] = parent
    if attached:
        run_id = attached
        _take_attached(tracker, run_id, key, tags)
    else:
        created = tracker.client.create_run(tracker.experiment_id, tags=tags, run_name=key.name)
        run_id = created.info.run_id
    step = StepRun(tracker, key, run_id)
    if force:
        step.delete_work()
    step.log_params(key.params)
    return step


def _finished(tracker: Tracker, key: StepKey, attached: str | None) -> StepRun | None:
    for run in tracker.find(key=key.key):
        if is_result(run):
            if attached:
                note = f"Nothing to do: this `{key.step}` had already finished as run `{run.info.run_id}`."
                tags = {"rpmask.step": key.step, "rpmask.reused": run.info.run_id, NOTE: note}
                _take_attached(tracker, attached, key, tags)
            step = StepRun(tracker, key, run.info.run_id, reused=True)
            step.delete_work()  # a kill may have come between the run's end and this
            return step
    return None


def _interrupted(tracker: Tracker, key: StepKey) -> StepRun | None:
    for run in tracker.find(key=key.key, host=socket.gethostname()):
        if run.info.status in ("RUNNING", *DEAD):
            tracker.client.update_run(run.info.run_id, status="RUNNING")
            step = StepRun(tracker, key, run.info.run_id, resumed=run)
            step.log_params(key.params)  # a kill may have come before the first attempt did
            delete_partial_uploads(run.info.artifact_uri)
            return step
    return None


def _take_attached(tracker: Tracker, run_id: str, key: StepKey, tags: Mapping[str, str]) -> None:
    """Name the run that `mlflow run` created after the first step that opens, which it belongs to."""
    tracker.attached_run = None
    tracker.client.update_run(run_id, name=key.name)
    tracker.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
