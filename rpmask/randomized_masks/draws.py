"""Choose exactly k of n items: the largest, any, or those that a weighted draw takes; ties are random.

Only uniform numbers are taken from a stream. Their sequence is fixed by the generator, while numpy may
change the algorithms behind other distributions, and with them a mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.arrays import Bools, Floats

BLOCK = 1 << 18  # clocks drawn at a time


def tally_draws(
    log_rates: Floats, kept: int, votes: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """How often each item is taken in `votes` draws of `kept` items without replacement.

    An exponential clock of rate r rings at E / r, and a draw takes the `kept` clocks that ring first.
    They are compared as logarithms, so that no rate is too large or small.
    """
    items = log_rates.size
    tally = np.zeros(items, dtype=np.int64)
    if kept in (0, items):
        return tally + (votes if kept else 0)
    rows = max(1, BLOCK // items)
    for done in range(0, votes, rows):
        rings = log_clocks((min(rows, votes - done), items), random)
        rings -= log_rates
        first = np.argpartition(rings, kept - 1, axis=1)[:, :kept]
        tally += np.bincount(first.reshape(-1), minlength=items)
    return tally


def log_clocks(shape: tuple[int, ...], random: np.random.Generator) -> Floats:
    """Logarithms of exponential clocks of rate one, log(-log(1 - u))."""
    clocks = random.random(shape)
    with np.errstate(divide="ignore"):  # a uniform of zero rings at once
        # In place, because one draw of a large tensor is large.
        np.negative(clocks, out=clocks)
        np.log1p(clocks, out=clocks)
        np.negative(clocks, out=clocks)
        np.log(clocks, out=clocks)
    return clocks


def top_k(
    values: NDArray[np.float32] | NDArray[np.int64], kept: int, random: np.random.Generator
) -> Bools:
    """The `kept` largest values, exactly; ties at the cut are broken at random."""
    if kept in (0, values.size):
        return np.full(values.size, kept > 0)
    cut = np.partition(values, values.size - kept)[values.size - kept]
    keep: Bools = values > cut
    ties = np.flatnonzero(values == cut)
    keep[ties[pick(ties.size, kept - int(np.count_nonzero(keep)), random)]] = True
    return keep


def pick(items: int, wanted: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Indices of `wanted` of the items; every set is equally likely."""
    if wanted in (0, items):
        return np.arange(wanted)
    return np.argpartition(random.random(items), wanted - 1)[:wanted]
