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
                *(_beside(row.get(f"{ours} beside {other}")) for ours, other in COMPARED),
            ]
        )
    compared = [f"{NAMES[ours]}, beside {NAMES[other]}" for ours, other in COMPARED]
    return table(["sparsity", "dense", *NAMES.values(), *compared], rows)


def streamed(report: Report) -> str:
    """Memory and seconds of decoders of one width, by their number of blocks."""
    shape, calibration = report["shape"], report["calibration"]
    said = (
        f"`python benchmarks/streaming.py`: Llamas of random weights, {shape['hidden_size']:,} wide "
        f"({shape['intermediate_size']:,} in the middle of a block), {calibration['blocks']} calibration "
        f"blocks of {calibration['tokens']} tokens; the most memory that no file holds, and seconds. With 24 "
        "blocks such a model has 1.3 billion weights."
    )
    rows = [
        [
            str(model["layers"]),
            f"{model['parameters'] / 1e6:,.0f} M",
            f"{4 * model['parameters'] / 2**30:.2f} GiB",
            *(_part(model[part]) for part in ("calibrate", "draw", "refit")),
        ]
        for model in report["models"]
    ]
    head = ["blocks", "weights", "in fp32", "importances", "mask", "refit"]
    return f"{said}\n\n{table(head, rows)}"


def _part(found: Report) -> str:
    return f"{found['gib']:.2f} GiB, {found['seconds']:.0f} s"


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
