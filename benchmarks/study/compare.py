"""Rows of the study beside each other: means, paired intervals, tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
RESULTS = Path(__file__).with_name("results")


def load() -> Rows:
    """Every result that is there."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def of(rows: Rows, **wanted: Any) -> Rows:
    """The rows that have these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def dense_model(row: dict[str, Any]) -> tuple[int, float]:
    """What tells the dense model of a row from others of its task: rows are compared if it is the same."""
    return row["seed"], row["dense"]


Gap = tuple[float, float, float]  # a difference, and the ends of its interval


def gap(mine: Rows, others: Rows) -> Gap | None:
    """The mean difference of the metric over the dense models that both have, and its 95 % interval.

    The interval is over the dev rows, resampled alike for both sides; the seeds are averaged within it.
    """
    return _gap(mine, others, same=dense_model, unit=lambda row: 1.0)


def gap_kept(mine: Rows, others: Rows) -> Gap | None:
    """The same of the share that is kept, seed by seed: each row is measured by its own dense model."""
    return _gap(mine, others, same=lambda row: row["seed"], unit=lambda row: row["dense"])


def _gap(
    mine: Rows,
    others: Rows,
    same: Callable[[dict[str, Any]], Hashable],
    unit: Callable[[dict[str, Any]], float],
) -> Gap | None:
    known = {same(row): row for row in others}
    pairs = [(row, known[same(row)]) for row in mine if same(row) in known]
    if not pairs:
        return None

    def apart(name: str) -> Any:
        return [np.divide(a[name], unit(a)) - np.divide(b[name], unit(b)) for a, b in pairs]

    low, high = np.quantile(np.mean(apart("resampled"), axis=0), [0.025, 0.975])
    return mean(apart("dev")), float(low), float(high)


def difference(mine: Rows, others: Rows) -> Gap | None:
    """Which side is ahead: by the metric, or by the share that is kept if no dense model is in common."""
    return gap(mine, others) or gap_kept(mine, others)


def signed(found: Gap | None) -> str:
    """A difference with its interval, bold where it excludes zero."""
    if found is None:
        return "-"
    middle, low, high = points(found)
    text = f"{middle:+g} [{low:+g}, {high:+g}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def points(found: Gap) -> list[float]:
    """A difference and its interval as they are shown, and judged by."""
    return [round(100 * value, 1) + 0.0 for value in found]  # never -0


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def share(allocation: float) -> str:
    """An allocation by its name, if it has one."""
    return {0.0: "uniform", 1.0: "global"}.get(allocation, f"{allocation:g}")


def agreement(rows: Rows) -> str:
    """How many dev rows are answered as the dense model does, and by its commonest answer alone."""
    known = [row for row in rows if row.get("agreement") is not None]
    if not known:
        return "-"
    both = (mean(row[key] for row in known) for key in ("agreement", "agreement_majority"))
    return "{:.1%} ({:.1%})".format(*both)


def minutes(rows: Rows) -> str:
    """The mean of those that had a core to themselves."""
    timed = [row["seconds"] for row in rows if row["seconds"]]
    return f"{mean(one['races'] + one['training'] for one in timed) / 60:.0f}" if timed else "-"
