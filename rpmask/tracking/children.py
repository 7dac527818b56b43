"""The runs of the candidates, nested under the run of a `screen`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from rpmask.tracking.runs import PARENT, StepRun, as_param
from rpmask.tracking.signals import signals_deferred


def children(run: StepRun) -> dict[int, str]:
    """Ids of the candidates' runs that exist, by candidate."""
    query = f"tags.`{PARENT}` = '{run.run_id}' and tags.`rpmask.step` = 'candidate'"
    tracker = run.tracker
    found = tracker.client.search_runs([tracker.experiment_id], query, max_results=5000)
    return {int(child.data.tags["rpmask.candidate"]): child.info.run_id for child in found}


def log_child(
    run: StepRun,
    candidate: int,
    name: str,
    *,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    metrics: list[tuple[str, float, int]],
    known: str | None,
) -> str:
    """Write the run of one candidate and close it; `known` is the id of the run if it exists already."""
    client = run.tracker.client
    own = {f"rpmask.{name}": value for name, value in tags.items()}
    base = {
        PARENT: run.run_id,
        "rpmask.step": "candidate",
        "rpmask.candidate": str(candidate),
        "rpmask.task": run.step.task,
        "rpmask.level": str(run.step.level),
    }
    now = int(time.time() * 1000)
    with signals_deferred(run.tracker.uri):  # otherwise a stop here leaves the run open
        run_id = known
        if run_id is None:
            run_id = client.create_run(
                run.tracker.experiment_id, tags={**base, **own}, run_name=name
            ).info.run_id
        logged = {
            (point.key, point.step)
            for metric in {metric for metric, _, _ in metrics if known}
            for point in client.get_metric_history(run_id, metric)
        }
        # One call: each is a transaction, and a database waits for its disk in every one.
        client.log_batch(
            run_id,
            params=[Param(k, as_param(v)) for k, v in params.items() if v is not None],
            tags=[RunTag(k, v) for k, v in own.items()] if known else [],
            metrics=[Metric(k, v, now, step) for k, v, step in metrics if (k, step) not in logged],
        )
        client.set_terminated(run_id, "FINISHED")
    return str(run_id)
