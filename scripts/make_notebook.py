"""Run the cells of docs/notebook.ipynb in order and store what they show.

    python scripts/make_notebook.py

A cell shows what it prints, and the value of its last line: as HTML where the value has `_repr_html_`, as
text otherwise. That is what a notebook server does, without needing one here. The cells run in a folder that
is deleted afterwards.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"
Cell = dict[str, Any]


def run_cells(notebook: dict[str, Any]) -> None:
    """Run each code cell in one namespace, as in one kernel, and put its outputs into the cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(codes, start=1):
        cell["execution_count"] = number
        cell["outputs"] = outputs("".join(cell["source"]), namespace, number)


def outputs(source: str, namespace: dict[str, Any], number: int) -> list[Cell]:
    """Run one cell; what it printed, and the value of its last line if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace)
    shown: list[Cell] = []
    if printed.getvalue():
        shown.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if value is not None:
        shown.append(
            {
                "data": displayed(value),
                "execution_count": number,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return shown


def displayed(value: Any) -> dict[str, list[str]]:
    """A value by media type."""
    data = {"text/plain": lines(repr(value))}
    page = getattr(value, "_repr_html_", None)
    return {"text/html": lines(page()), **data} if page else data


def lines(text: str) -> list[str]:
    """Text as notebooks store it: a list of lines with their ends."""
    return text.splitlines(keepends=True)


def main(source: Path = NOTEBOOK, target: Path = NOTEBOOK) -> None:
    """Run the cells of one file in the current folder, and write the other."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    run_cells(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
