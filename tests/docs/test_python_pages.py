"""The examples of the Python pages and the notebook's cells run; one folder lets them share steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import Running

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
PAGES = ("python.md", "python-api.md")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the pages' blocks ran as one program, and what it printed."""
    folder = tmp_path_factory.mktemp("python")
    text = "\n".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (folder / "pages.py").write_text("\n".join(blocks), encoding="utf-8")
    done = Running([], folder, module="pages").finish()
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_python_examples_run_as_one_program(printed: tuple[Path, str]) -> None:
    _, said = printed
    assert re.search(r"^(better|no-evidence|worse) ", said, re.MULTILINE)
    assert "has no option 'sparsty'. Did you mean sparsity?" in said
    assert re.search(r"demo +0\.9 +drawn +[01]\.\d+", said)
    assert "MaskRecipe(" in said
    assert re.search(r"kept \d+ of \d+, overlap 0\.\d+", said)


def test_the_notebook_runs_and_shows_what_it_stores(printed: tuple[Path, str]) -> None:
    folder, _ = printed
    (folder / "cells.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from pathlib import Path\nimport make_notebook\n"
        "make_notebook.main(target=Path('executed.ipynb'))\n"
    )
    done = Running([], folder, module="cells").finish()
    assert done.returncode == 0, done.stderr
    stored, now = (
        [shown(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        for path in (NOTEBOOK, folder / "executed.ipynb")
    )
    assert stored == now
    assert "text/html" in {kind for cell in now for kind in cell[1:]}


def shown(cell: dict[str, object]) -> list[object]:
    """A cell's source, and the kinds of what it shows."""
    found = [cell["source"]]
    for output in cell.get("outputs", []):  # type: ignore[attr-defined]
        found += output.get("data", [output["output_type"]])
    return found
