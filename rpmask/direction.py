"""Which way a metric is better. A head says so (`lower_is_better`); records and runs carry it along."""

from __future__ import annotations

from collections.abc import Iterable

LOWER, HIGHER = "lower", "higher"  # the tag of a run: which values of its metric are better


def better_way(lower: bool) -> str:
    """The tag of a run whose metric is better where it is lower, or higher."""
    return LOWER if lower else HIGHER


def is_better(value: float, other: float, *, lower: bool) -> bool:
    """Whether a value of a metric is better than another."""
    return value < other if lower else value > other


def best_of(values: Iterable[float], *, lower: bool) -> float:
    """The best value; without any, one that every other beats."""
    worst = float("inf") if lower else float("-inf")
    return min(values, default=worst) if lower else max(values, default=worst)


def retention(sparse: float, dense: float, *, lower: bool) -> float:
    """The share of the dense model's metric that is kept: dense / sparse where lower is better."""
    kept, whole = (dense, sparse) if lower else (sparse, dense)
    return kept / whole if whole else 0.0
