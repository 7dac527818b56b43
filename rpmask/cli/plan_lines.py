"""A plan in words: the table of `--plan`, and the line that `run` begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from rpmask.cli.tables import plain_table
from rpmask.words import counted, duration, percent, size

if TYPE_CHECKING:
    from rpmask.steps.context import Context
    from rpmask.steps.planning import Plan


def plan_table(plan: dict[str, Any]) -> list[Table | str]:
    """One row per part, and the line."""
    rows = (
        (
            str(part["level"] or "-"),
            part["step"] if part["level"] else f"{part['step']}, dense",
            percent(part["sparsity"]) if part["sparsity"] else "-",
            _steps(part),
            "finished" if part["run_id"] else duration(part["seconds"]),
            part["run_id"] or "",
        )
        for part in plan["parts"]
    )
    columns = ("level", "step", "sparsity", "training steps", "time", "reused run")
    return [plain_table(f"plan of {plan['verb']}", columns, rows, left=2), line_of(plan)]


def _steps(part: dict[str, Any]) -> str:
    if not part["steps"]:
        return "-"
    return f"{'at most ' if part['at_most'] else ''}{part['steps']:,}"


def line_of(plan: dict[str, Any]) -> str:
    """The plan in one line."""
    parts = plan["parts"]
    reused = f", {plan['reused']} of them finished" if plan["reused"] else ""
    if plan["reused"] == len(parts):
        return f"plan: {counted(len(parts), 'run')}, all finished: nothing is left to do"
    most = any(part["at_most"] and not part["run_id"] for part in parts)
    line = (
        f"plan: {counted(len(parts), 'run')}{reused}; {'at most ' if most else ''}{plan['steps']:,} training "
        f"steps, about {duration(plan['seconds'])} on this machine, {size(plan['memory_bytes'])} of memory, "
        f"{size(plan['stored_bytes'])} on disk and {size(plan['work_bytes'])} more while it trains"
    )
    if plan["stored_bytes"] + plan["work_bytes"] > plan["free_bytes"]:
        line += f"; only {size(plan['free_bytes'])} are free here"
    return line


def announce(plan: Plan, context: Context) -> None:
    """Say the plan, and let the progress show the time left of all of it."""
    from rpmask.cli.console import TalkingConsole
    from rpmask.cli.time_left import TimeLeft

    context.console.say(line_of(plan.answer()))
    if plan.todo and isinstance(context.console, TalkingConsole):
        context.schedule = context.console.left = TimeLeft(plan.parts)
