"""Write docs/cli.md from the help of the command line.

    python scripts/make_cli_docs.py            # write the page
    python scripts/make_cli_docs.py --check    # exit 1 if it is out of date

Some versions of Typer have their own copy of click, so only methods that both have are called: the commands
of a group, and a parameter's help record.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from rpmask.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
ARGUMENTS, GENERAL = "Arguments", "General"  # the panels of those that name none
DEFAULT = re.compile(r"\s*\[default: (?P<value>[^\]]*)\]")
EXAMPLE = re.compile(r"\n*Example: `(?P<line>[^`]+)`")
SHELL_COMPLETION = {"install_completion", "show_completion"}

INTRODUCTION = """\
# Command line

This page is written by `scripts/make_cli_docs.py` from the program's own help; do not edit it.

A verb prints its result on stdout, and progress and messages on stderr. Exit codes: 0 done, 1 the work
failed, 2 a mistake in the command, 130 stopped by Ctrl-C, 143 stopped by SIGTERM, 141 the reader of the
output is gone. [Artifacts and records](artifacts.md#machine-output) describes what `--json` prints.
"""


def render() -> str:
    """The whole page; the same text for the same app."""
    root = get_command(app)
    with root.make_context("rpmask", [], resilient_parsing=True) as context:
        parts = [INTRODUCTION, _index(root), f"## rpmask\n\n{_help_of(root)}"]
        shown = [p for p in root.get_params(context) if p.name not in SHELL_COMPLETION]
        parts.append(_tables(shown, context))
        for name, command in commands(root):
            parts.append(_section(name, command, context))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def commands(root: Any) -> Iterator[tuple[str, Any]]:
    """Every verb, and the verbs of a group as `group verb`, in the order they are declared."""
    for name, command in root.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", found) for inner, found in commands(command))
        else:
            yield name, command


def _index(root: Any) -> str:
    rows = (
        f"| [`{name}`](#rpmask-{name.replace(' ', '-')}) | {_cell(_first_line(command))} |"
        for name, command in commands(root)
    )
    return "\n".join(["| verb | what it does |", "|---|---|", *rows])


def _section(name: str, command: Any, parent: Any) -> str:
    example = EXAMPLE.search(command.help or "")
    lines = [f"## rpmask {name}", "", _help_of(command), ""]
    if example:
        lines += ["```bash", example["line"], "```", ""]
    with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
        lines.append(_tables(command.get_params(context), context))
    return "\n".join(lines)


def _help_of(command: Any) -> str:
    return EXAMPLE.sub("", command.help or "").strip()


def _first_line(command: Any) -> str:
    return _help_of(command).splitlines()[0]


def _tables(parameters: Iterable[Any], context: Any) -> str:
    """One table a panel: arguments, general options, then the panels in order of appearance."""
    panels: dict[str, list[str]] = {ARGUMENTS: [], GENERAL: []}
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None:
            default = ARGUMENTS if parameter.param_type_name == "argument" else GENERAL
            panel = getattr(parameter, "rich_help_panel", None) or default
            panels.setdefault(panel, []).append(_row(*record))
    blocks = [
        "\n".join([f"**{panel}**", "", "| name | meaning | default |", "|---|---|---|", *rows, ""])
        for panel, rows in panels.items()
        if rows
    ]
    return "\n".join(blocks)


def _row(declaration: str, text: str) -> str:
    found = DEFAULT.search(text)
    default = found["value"] if found else ""
    meaning = DEFAULT.sub("", text).strip()
    return f"| `{_cell(declaration)}` | {_cell(meaning)} | {_cell(default)} |"


def _cell(text: str) -> str:
    """Text that stays inside its table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.name} is out of date: run `python {Path(__file__).name}`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
