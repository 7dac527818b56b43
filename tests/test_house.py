"""The house's floors: who may import whom, and which libraries only one folder knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rpmask
from rpmask.heads.registry import HEADS

ROOT = Path(rpmask.__file__).parent
# Lowest first; a folder imports only from itself and from floors below its own.
FLOORS = [
    *(
        "base",
        "engines",
        "tasks",
        "masks",
        "heads",
        "train",
        "randomized_masks",
        "lottery_jackpots",
    ),
    *("deploy", "charts", "tracking", "steps", "cli"),
]
ONLY = {
    "mlflow": {"tracking"},
    "optuna": {"tracking"},
    "typer": {"cli"},
    "rich": {"cli"},
    "ray": {"engines"},
    "transformers": {"heads", "train", "deploy"},
    "matplotlib": {"charts"},
    "onnxruntime": {"deploy"},
    "datasets": {"tasks"},
    "evaluate": {"tasks"},
}
MASKS_MAY_USE = {"torch", "numpy", "scipy", "safetensors", "rpmask"}


def floor_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "base"


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module, and whether only a type checker sees it."""
    tree = ast.parse(path.read_text())
    unseen: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            unseen.update(id(child) for child in ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in unseen) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in unseen))
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_floors(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    here = folder if folder in FLOORS else "base"
    if path.name == "__main__.py" or path == ROOT / "__init__.py":
        here = "cli"  # the two doors: the command line, and the names that `import rpmask` gives
    for module, only_typed in imports(path):
        top = module.split(".")[0]
        if top == "rpmask":
            there = floor_of(module)
            assert FLOORS.index(there) <= FLOORS.index(here), f"{here} imports {module}"
        elif only_typed:
            continue
        elif top in ONLY:
            assert here in ONLY[top], f"{path.name} imports {module}"
        elif here == "masks" and top not in sys.stdlib_module_names:
            assert top in MASKS_MAY_USE, f"masks imports {module}"


def head_questions(path: Path) -> list[str]:
    """Comparisons with, and choices by, the name of a head or of its inputs."""
    names = {*HEADS, "text"}
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        inside: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            inside = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
        elif isinstance(node, ast.MatchValue):
            inside = [node.value]
        chosen = isinstance(node, ast.Subscript) and getattr(node.slice, "attr", "")
        if chosen in ("kind", "inputs") or any(
            isinstance(part, ast.Constant) and part.value in names for part in inside
        ):
            found.append(f"{path.name}, line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_a_head_knows_what_is_answered(path: Path) -> None:
    """What depends on a head is asked of the head, so that another one needs no change elsewhere."""
    if path.parent.name != "heads":
        assert head_questions(path) == []


@pytest.mark.parametrize(
    "branch",
    [
        'if spec.kind == "regression": pass',
        'if inputs in ("text", "image"): pass',
        'if "classification" != kind: pass',
        "reader = READERS[task.inputs]",
        'match kind:\n case "tokens": pass\n case "image": pass',
    ],
)
def test_such_branches_are_found(branch: str, tmp_path: Path) -> None:
    path = tmp_path / "branch.py"
    path.write_text(branch)
    assert len(head_questions(path)) >= 1


def test_records_need_the_standard_library_only() -> None:
    names = (
        "records.py",
        "results.py",
        "jsonrecord.py",
        "errors.py",
        "files.py",
        "logs.py",
        "settings.py",
    )
    for name in names:
        for module, _ in imports(ROOT / name):
            top = module.split(".")[0]
            assert top == "rpmask" or top in sys.stdlib_module_names


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys, rpmask.cli\n"
        "try:\n rpmask.cli.main(['--help'])\nexcept SystemExit as e:\n assert e.code == 0\n"
        "print(sorted(m for m in ('torch', 'transformers', 'mlflow', 'numpy', 'datasets', 'optuna')"
        " if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_no_pickle_is_read() -> None:
    for path in FILES:
        text = path.read_text().replace("safetensors.torch.load(", "")
        for word in ("torch.load(", "pickle.load", "trust_remote_code=True", "allow_pickle=True"):
            assert word not in text, f"{path}: {word}"


def bound(path: Path) -> set[str]:
    """The names that a module binds at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.asname or alias.name for alias in node.names)
        else:
            found.update(name.id for name in ast.walk(node) if isinstance(name, ast.Name))
    return found


def test_benchmarks_and_scripts_import_names_that_exist() -> None:
    """Most of them run for minutes or need a device, so that no other test would notice."""
    beside = ROOT.parent
    for path in (*beside.glob("benchmarks/**/*.py"), *beside.glob("scripts/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("rpmask"):
                continue
            place = beside / (node.module or "").replace(".", "/")
            module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            assert module.is_file(), f"{path} imports {node.module}"
            for alias in node.names:
                known = alias.name in bound(module) or (place / f"{alias.name}.py").is_file()
                assert known, f"{path} imports {alias.name} from {node.module}"
