"""What MLflow knows of finished steps, read in as few queries as possible and without a download."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from rpmask.charts.results import RunFacts
from rpmask.tracking.absence import is_absent
from rpmask.tracking.aliases import CHAMPION, model_name
from rpmask.tracking.filters import tag_clause
from rpmask.tracking.tracker import Tracker

PAGE = 1000  # MLflow's own limit is 50,000; memory is spent a page at a time
STEPS = ("sample", "screen", "select", "finetune", "jackpot")


def finished_steps(tracker: Tracker, task: str | None) -> dict[str, RunFacts]:
    """The finished steps of the experiment that a leaderboard is made of, by run id.

    A query a step: candidates' runs, of which there are most, are never read.
    """
    found: dict[str, RunFacts] = {}
    if tracker.is_new:
        return found
    for step in STEPS:
        query = f"tags.`rpmask.step` = '{step}' and attributes.status = 'FINISHED'"
        if task is not None:
            query += f" and {tag_clause('task', task)}"
        for run in _pages(tracker, query):
            facts = _facts(run, step)
            if "reused" not in facts.tags and task in (None, facts.task):
                found[facts.run_id] = facts
    return found


def champion_runs(tracker: Tracker, tasks: set[str]) -> set[str]:
    """The runs whose models are their tasks' champions now."""
    runs = set()
    for task in tasks:
        version = champion_version(tracker, task)
        if version is not None:  # a task that has only been searched or trained densely has none
            runs.add(str(version.tags.get("rpmask.run", version.run_id)))
    return runs


def champion_version(tracker: Tracker, task: str) -> ModelVersion | None:
    """The version that `@champion` stands on now; None if nothing was ever promoted."""
    try:
        return tracker.client.get_model_version_by_alias(model_name(task), CHAMPION)
    except MlflowException as error:
        if not is_absent(error):
            raise
        return None


def _pages(tracker: Tracker, query: str) -> Iterator[Run]:
    token = None
    while True:
        page = tracker.client.search_runs(
            [tracker.experiment_id], query, max_results=PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _facts(run: Run, step: str) -> RunFacts:
    prefix = "rpmask."
    return RunFacts(
        run_id=run.info.run_id,
        step=step,
        started=run.info.start_time,
        params=run.data.params,
        metrics=run.data.metrics,
        tags={k.removeprefix(prefix): v for k, v in run.data.tags.items() if k.startswith(prefix)},
    )
