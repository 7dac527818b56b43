"""The verdict: whether one mask beats another by more than sampling and training noise.

The examples are compared pair by pair and resampled (bootstrap). Training noise shows in the control's
twins, masks that differ from it in a twentieth of their weights near the cut. Their spread is part of the
interval:

    variance = bootstrap variance of the mean gap + (1 + 1/n) * variance between the n twins' mean losses

with Student's quantile at Welch and Satterthwaite's degrees of freedom; the reference is the mean of the
control and its twins. The variance between twins includes sampling noise again, so the interval is slightly
too wide rather than too narrow. The best of K candidates results from K comparisons, so each is made at
confidence 1 - alpha / K.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from rpmask.streams import generator

BETTER, NO_EVIDENCE, WORSE = "better", "no-evidence", "worse"


@dataclass(frozen=True)
class Paired:
    """Mean difference of two masks' losses and its interval; above zero, the second mask is better.

    `error` is the standard error; `noise` is the standard deviation between twins, None without twins.
    """

    effect: float
    low: float
    high: float
    confidence: float
    error: float = 0.0
    noise: float | None = None

    @property
    def verdict(self) -> str:
        """The verdict on the second mask."""
        if self.low > 0:
            return BETTER
        return WORSE if self.high < 0 else NO_EVIDENCE


def training_noise(losses: Sequence[np.ndarray]) -> float | None:
    """Standard deviation of the mean losses of a mask and its twins; None for a mask alone."""
    means = [float(each.mean()) for each in losses]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def paired_interval(
    losses: np.ndarray,
    rival: np.ndarray,
    *,
    twins: Sequence[np.ndarray] = (),
    compared: int = 1,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> Paired:
    """The effect of `rival` against `losses`, positive if the rival is better, with its interval."""
    alike = [losses, *twins]
    gap = np.mean(alike, axis=0) - rival  # (examples,)
    means = _resampled(gap, draws, seed)
    confidence = 1.0 - alpha / max(1, compared)
    tail = (1.0 - confidence) / 2.0
    effect, rows = float(gap.mean()), float(means.std())
    noise = training_noise(alike)
    if noise is None:
        low, high = np.quantile(means, [tail, 1.0 - tail])
        return Paired(effect, float(low), float(high), confidence, rows)
    n = len(alike)
    between = noise**2 * (1.0 + 1.0 / n)
    variance = rows**2 + between
    error = variance**0.5
    # Sampling variance is known well; the variance between twins has n - 1 degrees of freedom.
    freedom = (n - 1) * (variance / between) ** 2 if between > 0 else np.inf
    reach = float(stdtrit(min(freedom, 1e9), 1.0 - tail)) * error
    return Paired(effect, effect - reach, effect + reach, confidence, error, noise)


def _resampled(gap: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """The mean gap of each bootstrap sample of the examples, (draws,)."""
    rng = generator(seed, "bootstrap")
    means = np.empty(draws)
    block = max(1, 4_000_000 // len(gap))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        rows = rng.integers(0, len(gap), (size, len(gap)), dtype=np.int32)
        means[start : start + size] = gap[rows].mean(axis=1)
    return means


def shrunk_effect(best: Paired, rivals: Collection[Paired]) -> float:
    """The best candidate's effect, shrunk towards zero (empirical Bayes).

    The prior variance of effects is the variance of the rivals' effects beyond their errors.
    """
    spread = float(np.mean([rival.effect**2 - rival.error**2 for rival in rivals]))
    prior = max(0.0, spread)
    whole = prior + best.error**2
    return best.effect * prior / whole if whole > 0 else best.effect
