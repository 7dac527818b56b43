"""`rpmask report`: the leaderboard, for the terminal, a document, a spreadsheet or a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rpmask.cli.app import app
from rpmask.cli.common import Tracking
from rpmask.cli.groups import TRACKING, with_groups
from rpmask.errors import RpmaskError
from rpmask.steps.requests import ReportRequest

if TYPE_CHECKING:
    from rpmask.charts.leaderboard import LeaderboardRow

FORMATS = ("table", "md", "csv", "html")


@app.command()
@with_groups
def report(
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="Only this task [default: all].", show_default=False),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="One row a run instead of one for all seeds.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(FORMATS)} [default: by the ending of --out, else table].",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="Log the HTML page to a run of its own.")
    ] = True,
    tracking: Tracking = TRACKING,
) -> None:
    """Compare trained and searched models: mean and interval over seeds, retention, steps, time.

    Example: `rpmask report --task demo --out report.html`
    """
    form = _format(form, out)
    from rpmask.steps.report import leaderboard, publish
    from rpmask.tasks.registry import known_name

    request = ReportRequest(task=known_name(task) if task else None, each=each, log=log)
    context = tracking.context()
    rows = leaderboard(request, context)
    if out is not None:
        from rpmask.files import write_whole

        write_whole(out, _rendered(form, rows, tracking.experiment).encode())
        context.console.say(f"Wrote {out}.")
    elif not tracking.as_json:
        print(_rendered(form, rows, tracking.experiment), end="", flush=True)
    result = publish(rows, request, context)  # after the answer: drawing takes longer than reading
    if tracking.as_json:
        print(json.dumps({**result, "path": None if out is None else str(out)}))
    elif log:
        before = "was logged before" if result["reused"] else "is logged"
        context.console.say(f"report.html {before}: run {result['run_id']}.")


def _format(given: str | None, out: Path | None) -> str:
    """The format asked for, or the one that the file's name says."""
    if given is None:
        given = "table" if out is None else out.suffix.removeprefix(".").lower()
        given = {"htm": "html", "markdown": "md", "txt": "table"}.get(given, given)
    if given not in FORMATS:
        raise RpmaskError(
            f"There is no report format '{given}'.", f"Give --format: {', '.join(FORMATS)}."
        )
    return given


def _rendered(form: str, rows: list[LeaderboardRow], experiment: str) -> str:
    from rpmask.steps import report as step

    if form == "md":
        return step.markdown(rows)
    if form == "csv":
        return step.comma_separated(rows)
    if form == "html":
        return step.html_page(rows)
    from rpmask.cli.tables import text_table

    title = f"leaderboard of {experiment}: {step.count(rows)} runs"
    return text_table(title, step.COLUMNS, [step.cells(row) for row in rows], left=4)
