"""The tables at the end of `export` and `bench`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from rpmask.cli.tables import plain_table


def _size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


def _timings(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = (
        *("runtime", "batch", "tokens", "ms", "p95", "of the limit"),
        *("speed-up", "over the best dense", "difference", "memory"),
    )
    cells = (
        (
            row["runtime"],
            str(row["batch"]),
            str(row["tokens"]),
            f"{row['ms_median']:.2f}",
            f"{row['ms_p95']:.2f}",
            f"{row['least_ms'] / row['ms_median']:.0%}" if row.get("least_ms") else "-",
            f"{row['speedup']:.2f}x",
            f"{row['speedup_best']:.2f}x" if row.get("speedup_best") else "-",
            f"{row['max_abs_diff']:.1e}",
            f"{row['memory_mb']:,.0f} MB" if row["memory_mb"] else "-",
        )
        for row in rows
    )
    return plain_table(title, columns, cells)


def export_table(result: dict[str, Any]) -> list[Table | str]:
    """Size, agreement with the registered model, and speed."""
    share = result["bytes"] / result["dense_bytes"]
    rows = [
        ("folder", result["path"]),
        ("size", f"{_size(result['bytes'])}, {share:.1%} of {_size(result['dense_bytes'])} dense"),
    ]
    if result["masked_dense_bytes"]:
        masked = result["masked_bytes"] / result["masked_dense_bytes"]
        rows.append(("masked matrices", f"{masked:.1%} of their fp32 size"))
    allowed = f"allowed {result['tolerance']:.1e}"
    rows.append(("logits differ by", f"{result['max_abs_diff']:.1e} ({allowed})"))
    if result["same_answers"] is not None:
        same = f"{result['same_answers']:.1%} of {result['compared_rows']} rows"
        rows.append(("same answers", same))
    rows += [
        ("loads with transformers alone", "yes" if result["standard"] else "no, use rpmask.load"),
        ("digest", result["digest"][:16]),
    ]
    if result["note"]:
        rows.append(("note", result["note"]))
    parts: list[Table | str] = [
        plain_table(f"{result['model']} as {result['format']}", ("", ""), rows, left=2)
    ]
    if result["rows"]:
        parts.append(_timings("speed on this machine", result["rows"]))
    if "page" in result:
        parts.append(f"published: {result['page']}")
    if result["model_uri"]:
        parts.append(f"next: mlflow models serve -m {result['model_uri']} --env-manager local")
    return parts


def bench_table(result: dict[str, Any]) -> list[Table | str]:
    """One row per runtime and shape, then the runtimes that are missing."""
    lines: list[Table | str] = [_timings(f"{result['model']}: {result['machine']}", result["rows"])]
    if result.get("limits"):
        lines.append(result["limits"])
    lines += [f"missing: {name}: {why}" for name, why in result["absent"].items()]
    return lines
