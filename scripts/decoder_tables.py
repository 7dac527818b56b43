"""The table of docs/decoders.md, from its committed benchmark."""

from __future__ import annotations

import statistics
from typing import Any

from markdown_table import table

Report = dict[str, Any]
NAMES = {
    "wanda": "Wanda",
    "sparsegpt": "SparseGPT",
    "rpmask": "rpmask",
    "tightened": "rpmask, tightened",
}
COMPARED = (("rpmask", "wanda"), ("rpmask", "sparsegpt"), ("tightened", "sparsegpt"))


def pruned(report: Report) -> str:
    """Perplexities, and rpmask's beside the others'; cells that were not measured are empty."""
    names = {
        key: name for key, name in NAMES.items() if any(key in row for row in report["summary"])
    }
    pairs = [pair for pair in COMPARED if pair[0] in names]
    rows = []
    for row in report["summary"]:
        known = [row.get(name) for name in names]
        if not any(known):
            continue
        setting = row["setting"]
        rows.append(
            [
                setting if ":" in setting else f"{100 * float(setting):.0f} %",
                f"{row['dense']:.2f}",
                *(_perplexity(cell) for cell in known),
                *(_beside(row.get(f"{ours} beside {other}")) for ours, other in pairs),
            ]
        )
    compared = [f"{NAMES[ours]}, beside {NAMES[other]}" for ours, other in pairs]
    return table(["sparsity", "dense", *names.values(), *compared], rows)


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
