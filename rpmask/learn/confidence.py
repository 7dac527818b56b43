"""Per-example losses at the confidence that suits the model.

A few steps after its weights were cut, a good mask is often wrong with great confidence and a bad one
knows nothing: on the raw loss the bad one leads. How confident a model is mends itself within a few
more steps, what it can tell apart does not. So before losses are compared, the logits of each model
are scaled by the one factor that makes its own mean loss lowest.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

LOG_FACTORS = (-7.0, 3.0)  # from all but ignoring the logits to twenty times as sure


def settled_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of every row after the best common scaling of the logits."""
    exact = logits.astype(np.float64)  # (rows, classes)

    def losses(log_factor: float) -> np.ndarray:
        scaled = np.exp(log_factor) * exact
        scaled -= scaled.max(axis=1, keepdims=True)
        return np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]

    best = minimize_scalar(lambda x: losses(x).mean(), bounds=LOG_FACTORS, method="bounded")
    return losses(float(best.x))
