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
    """Memory and seconds of a large decoder, part by part."""
    blocks, shape = report["refit"]["block_seconds"], report["shape"]
    gram = (shape["intermediate_size"] + 1) ** 2 * 4 / 2**30
    said = (
        f"`python benchmarks/streaming.py`: a Llama of {report['parameters'] / 1e9:.2f} billion random "
        f"weights ({4 * report['parameters'] / 2**30:.1f} GiB), {report['calibration']['blocks']} blocks of "
        f"{report['calibration']['tokens']} tokens. Memory is what no file holds; the largest Gram matrix "
        f"has {gram:.2f} GiB. The first refitted block took {blocks[1]:.0f} s, the last {blocks[-1]:.0f} s."
    )
    names = {"loaded": "loaded", "calibrate": "importances", "draw": "mask", "refit": "refit"}
    rows = [
        [name, f"{report[key]['gib']:.2f} GiB", f"{report[key].get('seconds', 0):.0f} s"]
        for key, name in names.items()
    ]
    return f"{said}\n\n{table(['part', 'most memory', 'time'], rows)}"


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
