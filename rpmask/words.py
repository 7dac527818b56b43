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


def shown_interval(result: dict[str, Any]) -> str:
    """The interval of an effect."""
    low, high = result["interval"]
    return f"[{low:.4f}, {high:.4f}]"
