"""The key of a step: a digest of everything that decides its result: inputs, parameters and code.

The code of a step is its own module and every module that it imports, directly or indirectly. Modules that
only show, store or distribute results (`SHOWS`) are left out, since no number depends on them. Comments,
docstrings and the help and limits of settings are left out as well, so editing text causes no
retraining.

What was found of a module is kept in a file beside the compiled modules, and used while the module's size and
times are the same. Python treats compiled modules alike.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import rpmask
from rpmask.errors import RpmaskError
from rpmask.files import write_whole
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
    known, read = _known(root), False
    files = {folder / f"{step}.py"} if step else set(folder.glob("*.py"))
    todo, found = list(files), dict[str, str]()
    while todo:
        path = todo.pop()
        name = path.relative_to(root).as_posix()
        module = known.get(name) or {}
        if module.get("changed") != _changed(path):
            module = known[name] = _module(path, root)
            read = True
        found[name] = module["code"]
        imports = {root / imported for imported in module["imports"]} - files
        files |= imports
        todo += imports
    if read:
        _keep(root, known)
    digest = digest_of({"modules": found})
    return f"{rpmask.__version__}+{digest[:10]}"


def _kept_in(root: Path) -> Path:
    return Path(cache_from_source(str(root / "steps/decides.py"))).with_suffix(".json")


@cache
def _known(root: Path) -> dict[str, Any]:
    """What was found of the modules, by this process or earlier ones, by name."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_kept_in(root).read_bytes())
        if kept["found by"] == _changed(Path(__file__)):
            return dict(kept["modules"])
    return {}


def _keep(root: Path, modules: dict[str, Any]) -> None:
    kept = {"found by": _changed(Path(__file__)), "modules": modules}
    if not sys.dont_write_bytecode:
        with suppress(OSError, RpmaskError):  # where nothing can be written, or the disk is full
            write_whole(_kept_in(root), json.dumps(kept).encode())


def _changed(path: Path) -> list[int]:
    """What tells a changed file from the one that was read. An installer may set the second of the three."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _module(path: Path, root: Path) -> dict[str, Any]:
    """A digest of a module without comments and docstrings, and the deciding modules that it imports."""
    changed = _changed(path)
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
    found = (name for node in imports if id(node) not in typed_only for name in _named(node, root))
    return {
        "changed": changed,
        "code": hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        "imports": sorted({name for name in found if (root / name).is_file()}),
    }


def _is_text(body: list[ast.stmt]) -> bool:
    """Whether a body begins with a docstring."""
    first = body[0] if body else None
    text = first.value if isinstance(first, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _named(node: ast.ImportFrom, root: Path) -> Iterator[str]:
    """Yield the names of this package's modules that an import may mean, without those in `SHOWS`."""
    package, *parts = (node.module or "").split(".")
    if package != root.name:
        return
    inside = ["/".join([*parts, alias.name]) for alias in node.names]
    for name in (f"{name}.py" for name in ("/".join(parts), *inside)):
        if not name.startswith(SHOWS) or name in DECIDES_ALL_THE_SAME:
            yield name
