"""The tables of docs/decoders.md, from its committed benchmarks."""

from __future__ import annotations

import statistics
from collections import Counter
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


def pools(report: Report) -> str:
    """The selected mask of every pool beside each centre, and beside the best without draws."""
    found, blocks = report["summary"], report["blocks"]
    taken = Counter(found["selected"])
    said = (
        f"`python benchmarks/decoder_pools.py`: {found['pools']} pools of eight masks at "
        f"{report['sparsity']:.0%} of every third block's weights, each with its own calibration blocks "
        f"({blocks['calibration']} of {report['tokens']} tokens) and random draws. A pool has the control, "
        f"four centres and three draws; the one nearest to the dense model on {blocks['selection']} "
        f"selection blocks is selected, and its perplexity measured on {blocks['dev']} dev blocks. Selected "
        "were: " + ", ".join(f"{kind} ({count})" for kind, count in taken.most_common()) + "."
    )
    rows = [
        [
            name,
            f"{statistics.geometric_mean(ratios) - 1:+.2%}",
            f"{min(ratios) - 1:+.2%} to {max(ratios) - 1:+.2%}",
            f"{sum(ratio <= 1.0 for ratio in ratios)} of {len(ratios)}",
            str(rival["clearly worse"]),
        ]
        for name, rival in found["selected beside"].items()
        for ratios in [rival["ratios"]]
    ]
    head = [
        "the selected mask beside",
        "mean",
        "from, to",
        "no worse",
        "worse by two standard errors",
    ]
    return f"{said}\n\n{table(head, rows)}"


def streamed(report: Report) -> str:
    """Memory and seconds of decoders of one width, by their number of blocks."""
    shape, calibration = report["shape"], report["calibration"]
    said = (
        f"`python benchmarks/streaming.py`: Llamas of random weights, {shape['hidden_size']:,} wide "
        f"({shape['intermediate_size']:,} in the middle of a block), {calibration['blocks']} calibration "
        f"blocks of {calibration['tokens']} tokens; the most memory that no file holds, and the processor's "
        "seconds. With 24 blocks such a model has 1.3 billion weights."
    )
    rows = [
        [
            str(model["layers"]),
            f"{model['parameters'] / 1e6:,.0f} M",
            f"{4 * model['parameters'] / 2**30:.2f} GiB",
            *(
                f"{model[part]['gib']:.2f} GiB, {model[part]['seconds']:,.0f} s"
                for part in ("calibrate", "draw", "refit")
            ),
        ]
        for model in report["models"]
    ]
    head = ["blocks", "weights", "in fp32", "importances", "mask", "refit"]
    return f"{said}\n\n{table(head, rows)}"


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
