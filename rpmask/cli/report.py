"""`rpmask report`: the leaderboard as a table, Markdown, CSV or HTML."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rpmask.cli.options import verb
from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError
from rpmask.steps.requests import ReportRequest
from rpmask.words import counted

if TYPE_CHECKING:
    from rpmask.charts.leaderboard import LeaderboardRow

FORMATS = ("table", "md", "csv", "html")


@verb(skip=("config", "plan", "system_metrics"))
def report(
    request: ReportRequest,
    tracking: Tracking,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(FORMATS)} [default: by the ending of --out, else table].",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
) -> None:
    """Compare trained and searched models: mean and interval over seeds, retention, steps, time.

    Example: `rpmask report --task demo --out report.html`
    """
    form = _format(form, out)
    from rpmask.steps.report import leaderboard, publish
    from rpmask.tasks.registry import known_name

    if request.task:
        request = replace(request, task=known_name(request.task))
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
    elif request.log:
        before = "was logged before" if result["reused"] else "is logged"
        context.console.say(f"report.html {before}: run {result['run_id']}.")


def _format(given: str | None, out: Path | None) -> str:
    """The format as given, or by the ending of the file's name."""
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
    from rpmask.cli.show import text_table

    title = f"leaderboard of {experiment}: {counted(step.count(rows), 'run')}"
    return text_table(title, step.COLUMNS, [step.cells(row) for row in rows], left=4)
