"""The error messages that stand in the program, as patterns, read from its sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ANYTHING = ".+?"
ERRORS = {"RpmaskError", "RunFailed"}
LEAST_LETTERS = 10  # fewer outside the placeholders, and a pattern would match whatever is said


def message_patterns(package: Path) -> list[re.Pattern[str]]:
    """One pattern a message; what is filled in at run time matches anything."""
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (pattern := _pattern_of(node)) is not None:
                found.append(pattern)
    return found


def _pattern_of(call: ast.Call) -> re.Pattern[str] | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ERRORS and call.args:
        text = _text(call.args[0])
    elif name == "error" and len(call.args) == 4:  # Table.error(index, column, problem, hint)
        text = f"{ANYTHING}, {ANYTHING}, column {ANYTHING}: {_text(call.args[2])}\\."
    elif name == "_damaged" and len(call.args) == 2:
        text = f"{ANYTHING} is damaged: {_text(call.args[1])}\\."
    else:
        return None
    letters = re.findall(r"[A-Za-z]", text.replace(ANYTHING, ""))
    return re.compile(text) if len(letters) >= LEAST_LETTERS else None


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"(?:{_text(node.body)}|{_text(node.orelse)})"
    # A placeholder may be empty: some hold a piece of the sentence.
    return ".*?"
