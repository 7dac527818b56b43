"""Read the parameters, metrics and tags of finished steps: one query for each step, nothing downloaded."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow.entities import Run

from rpmask.charts.run_results import RunFacts
from rpmask.tracking.filters import tag_clause
from rpmask.tracking.tracker import Tracker

PAGE = 1000  # MLflow allows 50,000; memory holds one page at a time
STEPS = ("sample", "screen", "select", "finetune", "jackpot")
PREFIX = "rpmask."


def finished_steps(tracker: Tracker, task: str | None) -> dict[str, RunFacts]:
    """The finished steps of the experiment that a leaderboard is made of, by run id.

    The candidates' runs, which are most of an experiment, are not read.
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
    tags = run.data.tags.items()
    return RunFacts(
        run_id=run.info.run_id,
        step=step,
        started=run.info.start_time,
        params=run.data.params,
        metrics=run.data.metrics,
        tags={name.removeprefix(PREFIX): value for name, value in tags if name.startswith(PREFIX)},
    )
