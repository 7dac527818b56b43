"""The vote sampler as the paper describes it, draw by draw; what the fast one is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_by_draws(
    importance: NDArray[np.float64],
    kept: int,
    temperature: float,
    votes: int,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw `kept` indices without replacement, `votes` times; keep those drawn most often."""
    chances = (importance / importance.max()) ** (1.0 / temperature)
    chances = chances / chances.sum()
    tally = np.zeros(importance.size, dtype=np.int64)
    for _ in range(votes):
        tally[random.choice(importance.size, kept, replace=False, p=chances)] += 1
    order = np.lexsort((random.random(importance.size), -tally))
    keep = np.zeros(importance.size, dtype=np.bool_)
    keep[order[:kept]] = True
    return keep
