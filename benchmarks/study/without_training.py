"""The page's table of what is kept without any training, from benchmarks/untrained.json."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from compare import mean, table

from rpmask.words import percent

MEASURED = Path(__file__).parent.parent / "untrained.json"
WAYS = {"one shot": "in one shot", "tightened": "tightened"}


def without_training() -> str:
    """What is kept of each task that was measured, in %, as the mean of the seeds and each seed."""
    if not MEASURED.exists():
        return ""
    cells: list[dict[str, Any]] = json.loads(MEASURED.read_text())["cells"]
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    sparsities = sorted({cell["sparsity"] for cell in cells})
    lines = []
    for sparsity, way in product(sparsities, WAYS):
        found = [of(cells, task, way, sparsity) for task in tasks]
        if any(found):
            lines.append([percent(sparsity), WAYS[way], *(kept(here) for here in found)])
    said = [
        "`python benchmarks/untrained.py`: the same lead over chance, in %, if no training step is taken "
        "(`run --epochs 0`): a mask is drawn in one shot, and its weights are refitted.",
        "Tightened, the last refit cuts the mask of a lower level (`--levels` 0.83, 0.9 and 0.97 for the "
        "three sparsities)."
        if any(cell["way"] == "tightened" for cell in cells)
        else "",
        "The mean is given, and the seeds in brackets; a seed chooses the calibration rows and the draws. "
        "The dense model of a task is trained once.",
    ]
    head = ["sparse", "mask", *tasks]
    return f"## Without training\n\n{' '.join(filter(None, said))}\n\n{table(head, lines)}"


def of(cells: list[dict[str, Any]], task: str, way: str, sparsity: float) -> list[dict[str, Any]]:
    """The seeds of a place in the table."""
    wanted = (task, way, sparsity)
    return [cell for cell in cells if (cell["task"], cell["way"], cell["sparsity"]) == wanted]


def kept(cells: list[dict[str, Any]]) -> str:
    """The mean share that is kept, and that of each seed."""
    if not cells:
        return "-"
    each = ", ".join(f"{100 * cell['kept']:.0f}" for cell in cells)
    return f"{100 * mean(cell['kept'] for cell in cells):.0f} ({each})"
