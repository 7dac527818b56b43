"""Keep-probabilities from importance: the paper's p ~ importance^(1/T), solved for a whole tensor.

Drawing k weights without replacement by exponential clocks keeps weight i iff E_i / p_i is among
the k smallest. In a large tensor the k-th smallest clock concentrates at the time t that solves

    sum_i q_i = k    with    q_i = 1 - exp(-p_i t),

so q_i is the probability that one draw takes weight i. A sum over millions of weights becomes a sum over
the bins of a histogram, because the upper bits of a positive float32 are its logarithm to within 0.1 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from rpmask.masks.arrays import Floats, Scores

SHIFT = 13  # bits dropped from a float32: 8 of exponent and 10 of mantissa remain
CHUNK = 1 << 20  # weights counted at a time, so that intermediate integers stay in cache
SURE = 32.0  # an exponential clock lies outside exp(-SURE) to exp(SURE) with probability 1e-14


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many weights have their importance in each bin of float bits; zeros are counted separately.

    Bin b holds the importances whose bits, shifted, are b: from edge(b) up to edge(b + 1).
    """

    bins: NDArray[np.int64]  # (bins,) ascending, none empty
    counts: NDArray[np.int64]  # (bins,)
    zeros: int

    @classmethod
    def of(cls, scores: Scores) -> Histogram:
        """Count the importances of one flat tensor."""
        bits = scores.view(np.uint32)
        found = np.zeros(1 << (31 - SHIFT), dtype=np.int64)
        for start in range(0, bits.size, CHUNK):
            counted = np.bincount(bits[start : start + CHUNK] >> SHIFT)
            found[: counted.size] += counted
        zeros = int(scores.size - np.count_nonzero(scores))
        found[0] -= zeros
        bins = np.flatnonzero(found)
        return cls(bins=bins, counts=found[bins], zeros=zeros)

    @property
    def positive(self) -> int:
        return int(self.counts.sum())

    @property
    def log_centres(self) -> Floats:
        """Natural logarithm of each bin's middle."""
        bits = ((self.bins << SHIFT) + (1 << (SHIFT - 1))).astype(np.uint32)
        return np.log(bits.view(np.float32).astype(np.float64))


@dataclass(frozen=True)
class Clock:
    """The keep-probabilities of one tensor: log(p t) of a weight is log(importance) / T + log_time."""

    exponent: float  # 1 / T
    log_time: float

    def log_rate(self, log_importance: Floats) -> Floats:
        """log(p t) of weights with the given logarithms of importance."""
        return log_importance * self.exponent + self.log_time

    def probability(self, log_importance: Floats) -> Floats:
        """q = 1 - exp(-p t): the probability that one draw of k takes such a weight."""
        return _taken(self.log_rate(log_importance))


def solve_clock(histogram: Histogram, kept: int, temperature: float) -> Clock:
    """Find the time at which `kept` weights are expected to have been drawn (0 < kept < positive)."""
    exponent = 1.0 / temperature
    rates = histogram.log_centres * exponent
    counts = histogram.counts.astype(np.float64)

    def surplus(log_time: float) -> float:
        # Not a dot product: the order in which BLAS sums depends on its threads.
        return float((counts * _taken(rates + log_time)).sum()) - kept

    # At the low time no weight is taken, at the high time every weight is.
    low, high = -float(rates.max()) - 2 * SURE, -float(rates.min()) + 2 * SURE
    return Clock(exponent, float(brentq(surplus, low, high, xtol=1e-12, rtol=1e-14)))


def _taken(log_rates: Floats) -> Floats:
    # Above SURE the result is one to the last bit; the clip only keeps exp from overflowing.
    return -np.expm1(-np.exp(np.minimum(log_rates, SURE)))
