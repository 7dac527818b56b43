"""Per-example losses and distances at the confidence that suits the model.

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
    return _settled(logits, np.eye(logits.shape[1])[labels])


def settled_distances(logits: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far every row's answer is from another model's, after the best common scaling of the logits.

    The Kullback-Leibler divergence from what the other one answers, at its own confidence.
    """
    shares = np.exp(_log_shares(theirs.astype(np.float64)))
    entropy = -(shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny))).sum(axis=1)
    return _settled(logits, shares) - entropy


def _settled(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    exact = logits.astype(np.float64)  # (rows, classes)

    def losses(log_factor: float) -> np.ndarray:
        return -(targets * _log_shares(np.exp(log_factor) * exact)).sum(axis=1)

    best = minimize_scalar(lambda x: losses(x).mean(), bounds=LOG_FACTORS, method="bounded")
    return losses(float(best.x))


def _log_shares(logits: np.ndarray) -> np.ndarray:
    scaled = logits - logits.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
