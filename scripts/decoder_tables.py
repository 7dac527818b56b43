"""The table of docs/decoders.md, from its committed benchmark."""

from __future__ import annotations

import statistics
from typing import Any

from markdown_table import table

Report = dict[str, Any]
NAMES = {"wanda": "Wanda", "sparsegpt": "SparseGPT", "rpmask": "rpmask"}


def pruned(report: Report) -> str:
    """Perplexities, and rpmask's beside the others'; cells that were not measured are empty."""
    rows = []
    for row in report["summary"]:
        known = [row.get(name) for name in NAMES]
        if not any(known):
            continue
        setting = row["setting"]
        rows.append(
            [
                setting if ":" in setting else f"{100 * float(setting):.0f} %",
                f"{row['dense']:.2f}",
                *(_perplexity(cell) for cell in known),
                *(_beside(row.get(f"beside {name}")) for name in ("wanda", "sparsegpt")),
            ]
        )
    head = ["sparsity", "dense", *NAMES.values(), "rpmask beside Wanda", "beside SparseGPT"]
    return table(head, rows)


def _perplexity(cell: Report | None) -> str:
    """The mean over seeds, and the seconds."""
    if cell is None:
        return ""
    return f"{statistics.mean(cell['perplexity']):.2f} ({cell['seconds']:.0f} s)"


def _beside(found: Report | None) -> str:
    """The relative difference of two perplexities."""
    if found is None:
        return ""
    low, high = found["interval"]
    return f"{found['ratio'] - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}]"
