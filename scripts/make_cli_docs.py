"""Write docs/cli.md from the help of the command line.

    python scripts/make_cli_docs.py            # write the page
    python scripts/make_cli_docs.py --check    # exit 1 if it is out of date

An option that at least three verbs have with the same help and default is described once, under the shared
options, and named in each of these verbs.

Some versions of Typer have their own copy of click, so only methods that both have are called: the commands
of a group, and a parameter's help record.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from rpmask.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
ARGUMENTS, GENERAL = "Arguments", "General"  # the panels of those that name none
DEFAULT = re.compile(r"\s*\[default: (?P<value>[^\]]*)\]")
NAME = re.compile(r"--[a-z-]+")
EXAMPLE = re.compile(r"\n*Example: `(?P<line>[^`]+)`")
SHARED_BY = 3  # verbs
SHELL_COMPLETION = {"install_completion", "show_completion"}

SHARED, ANCHOR = "Shared options", "shared-options"
Row = tuple[str, str, str]  # name, meaning, default
Panels = dict[str, list[Row]]

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
        found = {name: _panels(command, name, context) for name, command in commands(root)}
        often = Counter(row for panels in found.values() for row in _options(panels))
        shared = {row for row, verbs in often.items() if verbs >= SHARED_BY}
        parts = [INTRODUCTION, _index(root), f"## rpmask\n\n{_help_of(root)}"]
        shown = [p for p in root.get_params(context) if p.name not in SHELL_COMPLETION]
        parts.append(_tables(_by_panel(shown, context)))
        for name, command in commands(root):
            parts.append(_section(name, command, found[name], shared))
        everywhere: Panels = {}
        for panel, row in dict.fromkeys(
            row for panels in found.values() for row in _options(panels)
        ):
            if (panel, row) in shared:
                everywhere.setdefault(panel, []).append(row)
        parts.append(f"## {SHARED}\n\n{_tables(everywhere)}")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _panels(command: Any, name: str, parent: Any) -> Panels:
    with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
        return _by_panel(command.get_params(context), context)


def _options(panels: Panels) -> list[tuple[str, Row]]:
    return [(panel, row) for panel, rows in panels.items() for row in rows if panel != ARGUMENTS]


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


def _section(name: str, command: Any, panels: Panels, shared: set[tuple[str, Row]]) -> str:
    example = EXAMPLE.search(command.help or "")
    lines = [f"## rpmask {name}", "", _help_of(command), ""]
    if example:
        lines += ["```bash", example["line"], "```", ""]
    own = {
        panel: [row for row in rows if (panel, row) not in shared] for panel, rows in panels.items()
    }
    named = [
        f"`{NAME.findall(row[0])[0]}`" for panel, row in _options(panels) if (panel, row) in shared
    ]
    lines += [_tables(own), f"[Shared options](#{ANCHOR}): {', '.join(named)}."]
    return "\n".join(lines)


def _help_of(command: Any) -> str:
    return EXAMPLE.sub("", command.help or "").strip()


def _first_line(command: Any) -> str:
    return _help_of(command).splitlines()[0]


def _by_panel(parameters: Iterable[Any], context: Any) -> Panels:
    """Rows by panel: arguments, general options, then the panels in order of appearance."""
    panels: Panels = {ARGUMENTS: [], GENERAL: []}
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None:
            default = ARGUMENTS if parameter.param_type_name == "argument" else GENERAL
            panel = getattr(parameter, "rich_help_panel", None) or default
            panels.setdefault(panel, []).append(_row(*record))
    return panels


def _tables(panels: Panels) -> str:
    """One table a panel."""
    head = ["| name | meaning | default |", "|---|---|---|"]
    return "\n".join(
        "\n".join([f"**{panel}**", "", *head, *(f"| {' | '.join(row)} |" for row in rows), ""])
        for panel, rows in panels.items()
        if rows
    )


def _row(declaration: str, text: str) -> Row:
    found = DEFAULT.search(text)
    default = found["value"] if found else ""
    meaning = DEFAULT.sub("", text).strip()
    return f"`{_cell(declaration)}`", _cell(meaning), _cell(default)


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
