"""Whether one candidate beats another on the same examples, by more than luck.

Paired bootstrap: resample the examples, look at the mean difference of their losses. The best of K
candidates is chosen by looking K times, so each comparison is made at 1 - alpha / K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rpmask.learn.batches import generator

BETTER, NO_EVIDENCE, WORSE = "better", "no-evidence", "worse"


@dataclass(frozen=True)
class Paired:
    """Mean difference of the losses, and its interval; above zero the first one loses."""

    effect: float
    low: float
    high: float
    confidence: float

    @property
    def verdict(self) -> str:
        """What the interval says of the second one."""
        if self.low > 0:
            return BETTER
        return WORSE if self.high < 0 else NO_EVIDENCE


def paired_interval(
    losses: np.ndarray,
    rival: np.ndarray,
    *,
    compared: int = 1,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> Paired:
    """The effect of `rival` against `losses` (positive: the rival is better) with its interval."""
    gap = losses - rival  # (examples,)
    rng = generator(seed, "bootstrap")
    confidence = 1.0 - alpha / max(1, compared)
    means = np.empty(draws)
    block = max(1, 4_000_000 // len(gap))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        rows = rng.integers(0, len(gap), (size, len(gap)), dtype=np.int32)
        means[start : start + size] = gap[rows].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Paired(float(gap.mean()), float(low), float(high), confidence)
