"""`report`: compare trainings and searches over tasks, sparsities and seeds.

Everything is read from MLflow's parameters, metrics and tags, so nothing is downloaded. The page with the
table and its charts is logged to its own run, which is reused while the results stay the same.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import finite
from rpmask.steps.context import Context
from rpmask.steps.frame import Done, Step, run_step
from rpmask.steps.requests import ReportRequest
from rpmask.words import counted, duration, percent

if TYPE_CHECKING:
    from rpmask.charts.leaderboard import LeaderboardRow
    from rpmask.tracking.runs import StepRun

COLUMNS = (
    *("task", "sparsity", "method", "settings", "seeds", "metric", "mean", "95%"),
    *("dense", "retention", "better", "steps", "time"),
)
PAGE = "report.html"


def report(request: ReportRequest, context: Context) -> dict[str, Any]:
    """Build the leaderboard and log its page."""
    return publish(leaderboard(request, context), request, context)


def leaderboard(request: ReportRequest, context: Context) -> list[LeaderboardRow]:
    """Return the rows of the leaderboard, read from MLflow; nothing is written."""
    from rpmask.charts.leaderboard import leaderboard_rows
    from rpmask.charts.run_results import results_of
    from rpmask.tracking.facts import finished_steps
    from rpmask.tracking.registry import champion_runs

    context.require_store()
    tracker = context.tracker
    results = results_of(finished_steps(tracker, request.task))
    if not results:
        where = f" of the task '{request.task}'" if request.task else ""
        raise RpmaskError(
            f"The experiment '{tracker.experiment}' has no finished training or search{where}.",
            "Run one first: `rpmask run --task demo`; or name another --experiment.",
        )
    champions = champion_runs(tracker, {result.task for result in results})
    return leaderboard_rows(results, champions, each=request.each)


def publish(
    rows: Sequence[LeaderboardRow], request: ReportRequest, context: Context
) -> dict[str, Any]:
    """Log the page unless the same rows were logged before; return what `--json` prints."""
    runs = counted(count(rows), "run")
    found = {"runs": count(rows), "rows": [finite(asdict(row)) for row in rows]}
    if not request.log:
        here = {"run_id": None, "experiment": context.tracker.experiment, "reused": False}
        return {**here, **found}
    step = Step(
        name="report",
        title=f"report {request.task or 'on all tasks'}, {runs}",
        task=request.task or "all",
        level=0,
        sparsity=None,
        inputs={"rows": found["rows"]},
        decides={},
        params=request.pick("task", "each"),
    )

    def work(run: StepRun) -> Done:
        run.log_text(PAGE, html_page(rows))
        note = f"**Leaderboard over {runs}.** `{PAGE}` is the page.\n\n"
        return Done(found, note + markdown(rows))

    return run_step(step, context, work)


def count(rows: Sequence[LeaderboardRow]) -> int:
    """Return the number of runs in the rows."""
    return sum(len(row.runs) for row in rows)


def cells(row: LeaderboardRow) -> tuple[str, ...]:
    """Return the cells of a row as text, in the order of COLUMNS."""
    return (
        row.task,
        "dense" if row.method == "dense" else percent(row.sparsity),
        row.method + (" @champion" if row.champion else ""),
        row.settings or "-",
        str(len(row.seeds)) if len(row.seeds) > 1 else f"seed {row.seeds[0]}",
        row.metric,
        _known(row.mean, ".4f"),
        "±" + _known(row.interval[1] - row.mean, ".4f") if row.interval else "-",
        _known(row.dense, ".4f"),
        _known(row.retention, ".1%"),
        "-" if row.better is None else f"{row.better}/{len(row.seeds)}",
        f"{row.steps:,.0f}",
        duration(row.seconds),
    )


def markdown(rows: Sequence[LeaderboardRow]) -> str:
    """Return the leaderboard as a Markdown table."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"

    rule = ["---"] * 4 + ["---:"] * (len(COLUMNS) - 4)
    return "\n".join([line(COLUMNS), line(rule), *(line(cells(row)) for row in rows)]) + "\n"


def comma_separated(rows: Sequence[LeaderboardRow]) -> str:
    """Return the leaderboard as CSV with full precision, for programs."""
    names = [name for name in asdict(rows[0]) if name != "interval"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "low", "high"])
    for row in rows:
        low, high = row.interval or (None, None)
        values = [getattr(row, name) for name in names]
        flat = (" ".join(value) if isinstance(value, tuple) else value for value in values)
        writer.writerow(finite([*flat, low, high]))  # unknown values stay empty
    return text.getvalue()


def html_page(rows: Sequence[LeaderboardRow]) -> str:
    """Return the leaderboard and a chart for each task as one page that fetches nothing."""
    from rpmask.charts import board, draw, page

    intro = (
        f"{markdown(rows)}\n`mean` is over seeds, with Student's 95 % interval; `retention` is its "
        "share of the dense model's metric (dense / sparse where lower is better); `better` counts "
        "the selections whose winner beat the control; `steps` and `time` cover everything from the "
        "dense model on, races included, as a mean over the seeds. Everything is measured on dev, once "
        "per training.\n"
    )
    charts = []
    for _, group in groupby(rows, key=lambda row: (row.task, row.metric)):
        alike = list(group)
        caption = f"Dev {alike[0].metric} of {alike[0].task} over sparsity."
        charts.append(draw(caption, board(alike)))
    return page("rpmask leaderboard", intro, charts)


def _known(value: float, form: str) -> str:
    """Format a number; a dash for one that was not measured or does not exist."""
    return format(value, form) if math.isfinite(value) else "-"
