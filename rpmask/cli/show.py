"""Print the result of a verb as tables on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from rpmask.cli import deploy_tables, tables

PIPE_WIDTH = 120
WIDE = 200  # a leaderboard has many columns

TABLES: dict[str, Callable[[dict[str, Any]], list[Table | str]]] = {
    "sample": tables.sample_table,
    "screen": tables.screen_table,
    "select": tables.select_table,
    "finetune": tables.finetune_table,
    "jackpot": tables.jackpot_table,
    "run": tables.run_table,
    "tune": tables.tune_table,
    "export": deploy_tables.export_table,
    "bench": deploy_tables.bench_table,
}


def show(verb: str, result: dict[str, Any]) -> None:
    """Print a verb's table and the id of its run."""
    console = _console()
    console.print()
    for part in TABLES[verb](result):
        console.print(part, markup=False)
    reused = " (already finished, nothing was computed)" if result["reused"] else ""
    line = f"run {result['run_id']} in experiment {result['experiment']}{reused}"
    console.print(line, markup=False)


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
