"""The tables of docs/deploy.md and docs/scaling.md, from their committed benchmarks."""

from __future__ import annotations

from typing import Any

from markdown_table import table

from rpmask.deploy.runtimes import CSR

Report = dict[str, Any]


def packed(report: Report) -> str:
    """Sizes and loading, a row a type of values."""
    rows = [
        [
            one["values"],
            f"{one['bytes'] / 1e6:.1f} MB",
            f"{one['bytes'] / one['dense_bytes']:.1%}",
            f"{one['largest_matrix_ratio']:.1%} of fp32",
            f"{one['load_seconds_median']:.2f} s ({one['load_seconds_longest']:.2f} s)",
            f"{one['max_abs_diff']:.1e}",
        ]
        for one in report["packed"]
    ]
    head = ["packed values", "whole model", "of dense", "largest masked matrix"]
    return table([*head, "load, median (longest)", "logits differ by"], rows)


def runtimes(report: Report, what: str) -> str:
    """Speed-ups over dense fp32, a column a shape."""
    shapes = list(dict.fromkeys((row["batch"], row["tokens"]) for row in report["rows"]))
    names = dict.fromkeys(row["runtime"] for row in report["rows"])
    cells = {(row["runtime"], row["batch"], row["tokens"]): row for row in report["rows"]}
    rows = [
        [
            name,
            *(_speedups(cells[name, *shape]) for shape in shapes),
            f"{max(cells[name, *shape]['max_abs_diff'] for shape in shapes):.1e}",
            f"{cells[name, *shapes[0]]['memory_mb']:.0f} MB",
        ]
        for name in names
    ]
    head = [
        what,
        *(f"{batch} x {tokens}" for batch, tokens in shapes),
        "logits differ by",
        "memory",
    ]
    measured = any(row["memory_mb"] for row in report["rows"])
    return table(head, rows) if measured else table(head[:-1], [row[:-1] for row in rows])


def _speedups(row: Report) -> str:
    """Over dense fp32; of CSR also over the fastest runtime that gains nothing by pruning."""
    said = f"{row['speedup']:.2f}x"
    return f"{said} ({row['speedup_best']:.2f}x the best dense)" if row["runtime"] == CSR else said


def decoding(report: Report) -> str:
    """The next token of a decoder, a row a runtime."""
    rows = [
        [
            row["runtime"],
            f"{row['ms_median']:.1f} ms",
            f"{row['speedup']:.2f}x",
            f"{row['least_ms'] / row['ms_median']:.0%}",
            f"{row['max_abs_diff']:.1e}",
        ]
        for row in report["rows"]
    ]
    head = ["the next token, 93.75 % of single weights", "time", "speed-up", "of the limit"]
    return table([*head, "logits differ by"], rows)


def simulated(report: Report) -> str:
    """The cost model, a row a model and number of workers."""
    rows = [
        [
            one["model"],
            str(one["workers"]),
            f"{one['hours']:.2g}",
            f"{one['share_training']:.0%}",
            f"{one['share_preparing']:.0%}",
            f"{one['share_waiting']:.0%}",
            f"{one['coordinator_busy']:.0%}",
            f"{one['gigabytes_moved']:,.0f}",
            f"{one['hours_if_all_but_training_were_free']:,.2g}",
        ]
        for one in report["simulated"]
    ]
    head = [
        "model",
        "workers",
        "hours",
        "training",
        "proving, packing",
        "waiting",
        "coordinator busy",
    ]
    return table([*head, "GB moved", "hours, training alone"], rows)


def by_rungs(report: Report) -> str:
    """How much faster a hundred workers are than ten, by the rungs of a race of as many steps."""
    rows = [
        [
            *(one["model"], str(one["rungs"]), str(one["in_the_last"])),
            *(f"{100 * share:.0f}%" for share in one["waiting"]),
            f"{one['ratio']:.1f}",
        ]
        for one in report["by_rungs"]
    ]
    head = ["model", "rungs", "candidates in the last", "ten wait", "a hundred wait"]
    return table([*head, "ten / hundred, hours"], rows)


def checked(report: Report) -> str:
    """The cost model beside races that were timed."""
    rows = [
        [
            one["engine"].replace("-", " "),
            f"{one['race_seconds_simulated']:.1f} s",
            f"{one['race_seconds_measured']:.1f} s",
            f"{one['ratio']:.2f}",
        ]
        for one in report["checked_against_engines_json"]
    ]
    return table(["race", "simulated", "measured", "ratio"], rows)
