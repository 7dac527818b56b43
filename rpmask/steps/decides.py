"""The key of a step: a digest of everything that decides its result: inputs, parameters and code.

The code of a step is its own module and every module that it imports, directly or indirectly. Modules that
only show, store or distribute results (`SHOWS`) are left out, since no number depends on them. Comments,
docstrings and the help and limits of settings are left out as well, so editing text causes no
retraining.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import rpmask
from rpmask.jsonrecord import digest_of

ROOT = Path(rpmask.__file__).parent
SHOWS = (
    *("cli", "tracking", "charts", "engines"),
    *("errors.py", "files.py", "ranks.py", "settings.py", "words.py"),
    *("steps/frame.py", "steps/poolcharts.py"),
    "steps/dense_model.py",  # the model that it trains is an input, known by its address
)
# The study decides where later masks are drawn, although it is part of `tracking`.
DECIDES_ALL_THE_SAME = ("tracking/study.py", "tracking/proposing.py")
STEP_FILES = {"run": "pipeline"}  # where a step's file has another name


def step_digest(step: str, inputs: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the key of a step."""
    code = code_version(STEP_FILES.get(step, step))
    return digest_of({"step": step, "inputs": inputs, "params": params, "code": code})


@cache
def code_version(step: str | None = None, root: Path = ROOT) -> str:
    """Return the package's version and a digest of the code that decides a step's result, or any step's."""
    folder = root / "steps"
    files = {folder / f"{step}.py"} if step else set(folder.glob("*.py"))
    todo = list(files)
    while todo:
        new = set(_module(todo.pop(), root).imports) - files
        files |= new
        todo += new
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}:{_module(path, root).code};".encode())
    return f"{rpmask.__version__}+{digest.hexdigest()[:10]}"


@dataclass(frozen=True)
class _Module:
    code: str  # without comments and docstrings
    imports: tuple[Path, ...]  # the deciding modules that it imports, at any depth of nesting


@cache
def _module(path: Path, root: Path) -> _Module:
    tree = ast.parse(path.read_bytes())
    typed_only: set[int] = set()
    imports: list[ast.ImportFrom] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            typed_only.update(id(inner) for inner in ast.walk(node))
        elif isinstance(node, ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setting":
            node.args, node.keywords = node.args[:1], []  # the default alone decides
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and _is_text(node.body):
            del node.body[0]
    found = (path for node in imports if id(node) not in typed_only for path in _named(node, root))
    return _Module(ast.dump(tree), tuple(path for path in found if path.is_file()))


def _is_text(body: list[ast.stmt]) -> bool:
    """Whether a body begins with a docstring."""
    first = body[0] if body else None
    text = first.value if isinstance(first, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _named(node: ast.ImportFrom, root: Path) -> Iterator[Path]:
    """Yield the paths of this package's modules that an import may mean, without those in `SHOWS`."""
    package, *parts = (node.module or "").split(".")
    if package != root.name:
        return
    inside = ["/".join([*parts, alias.name]) for alias in node.names]
    for name in (f"{name}.py" for name in ("/".join(parts), *inside)):
        if not name.startswith(SHOWS) or name in DECIDES_ALL_THE_SAME:
            yield root / name
