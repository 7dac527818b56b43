"""The page's table of what is kept without any training, from benchmarks/untrained.json."""

from __future__ import annotations

import json
from pathlib import Path

from compare import Rows, mean, of, table

from rpmask.words import percent

MEASURED = Path(__file__).parent.parent / "untrained.json"


def without_training() -> str:
    """What is kept of each task that was measured, in %: the mean of the seeds, and each seed."""
    cells: Rows = json.loads(MEASURED.read_text())["cells"]
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    lines = [
        [percent(sparsity), *(kept(of(cells, task=task, sparsity=sparsity)) for task in tasks)]
        for sparsity in sorted({cell["sparsity"] for cell in cells})
    ]
    return (
        "## Without training\n\n"
        "`python benchmarks/untrained.py`: the same lead over chance, in %, if no training step is taken "
        "(`run --one-shot --epochs 0`): a mask is drawn, and its weights are refitted. The mean is given, "
        "and the seeds in brackets; a seed chooses the calibration rows and the draws. The dense model of a "
        "task is trained once.\n\n" + table(["sparse", *tasks], lines)
    )


def kept(cells: Rows) -> str:
    """The mean share that is kept, and that of each seed."""
    if not cells:
        return "-"
    each = ", ".join(f"{100 * cell['kept']:.0f}" for cell in cells)
    return f"{100 * mean(cell['kept'] for cell in cells):.0f} ({each})"
