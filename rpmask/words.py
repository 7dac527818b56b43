"""Numbers and values as people read them."""

from __future__ import annotations

from typing import Any

MEASURED = {  # what candidates are ranked by, by its kind
    "loss": "held-out loss",
    "distance": "distance from the dense model",
}


def percent(sparsity: float) -> str:
    """A sparsity as people write it: 93.75%."""
    return f"{100 * sparsity:.6g}%"


ALLOCATION_WORDS = {-2.0: "owl", -1.0: "row", 0.0: "uniform", 1.0: "global"}


def allocation_word(allocation: float) -> str:
    """An allocation as tables show it: owl, row, or the share of the global threshold."""
    return ALLOCATION_WORDS[allocation] if allocation < 0 else f"{allocation:g}"


def shown_interval(result: dict[str, Any]) -> str:
    """The interval of an effect."""
    low, high = result["interval"]
    return f"[{low:.4f}, {high:.4f}]"


def counted(count: int, what: str) -> str:
    """A number of things: 1 run, 1,200 runs."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes as people say them: 120 MB, 1.4 GB."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
