"""Print the result of a verb as tables on stdout."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from rpmask.cli import deploy_tables, plan_lines, tables
from rpmask.cli.closing import closing_lines
from rpmask.words import counted

PIPE_WIDTH = 120
WIDE = 200  # a leaderboard has many columns
PREFORMATTED = '<pre style="line-height:normal;font-family:monospace">{code}</pre>'


def leaderboard_table(result: dict[str, Any]) -> Table:
    """One row per setting, or per run."""
    from rpmask.charts.leaderboard import LeaderboardRow
    from rpmask.steps.report import COLUMNS, cells

    rows = (cells(LeaderboardRow.from_dict(row)) for row in result["rows"])
    title = f"leaderboard of {result['experiment']}: {counted(result['runs'], 'run')}"
    return tables.plain_table(title, COLUMNS, rows, left=4)


TABLES: dict[str, Callable[[dict[str, Any]], list[Table | str]]] = {
    "sample": tables.sample_table,
    "screen": tables.screen_table,
    "select": tables.select_table,
    "finetune": tables.finetune_table,
    "jackpot": tables.jackpot_table,
    "run": tables.run_table,
    "tune": tables.tune_table,
    "plan": plan_lines.plan_table,
    "report": lambda result: [leaderboard_table(result)],
    "export": deploy_tables.export_table,
    "bench": deploy_tables.bench_table,
}


def show(verb: str, result: dict[str, Any]) -> None:
    """Print a verb's table and the id of its run."""
    console = _console()
    console.print()
    for part in TABLES[verb](result):
        console.print(part, markup=False)
    if "run_id" not in result:  # a plan
        return
    reused = " (already finished, nothing was computed)" if result["reused"] else ""
    line = f"run {result['run_id']} in experiment {result['experiment']}{reused}"
    console.print(line, markup=False)
    for line in closing_lines(verb, result):
        console.print(line, markup=False, soft_wrap=True)


def as_html(verb: str, result: dict[str, Any]) -> str:
    """The tables that `show` prints, for a notebook."""
    console = Console(
        record=True, file=io.StringIO(), width=WIDE, highlight=False, force_jupyter=False
    )
    for part in TABLES[verb](result):
        console.print(part, markup=False)
    return console.export_html(inline_styles=True, code_format=PREFORMATTED)


def show_findings(findings: dict[str, Any]) -> None:
    """Print the checks of `doctor`, one line each, and its advice."""
    console = _console()
    rows = ((f["name"], "ok" if f["ok"] else "no", f["found"]) for f in findings["checks"])
    console.print(tables.plain_table("this machine", ("", "", "found"), rows, left=3))
    for line in findings["advice"]:
        console.print(f"- {line}", soft_wrap=True, markup=False)


def text_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], *, left: int
) -> str:
    """A wide table as text."""
    console = _console(WIDE)
    with console.capture() as capture:
        console.print(tables.plain_table(title, columns, rows, left=left))
    return capture.get()


def _console(piped: int = PIPE_WIDTH) -> Console:
    """Stdout. A file or a pipe has no width, so its tables are as wide as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=piped)
