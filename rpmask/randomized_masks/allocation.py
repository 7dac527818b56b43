"""Share a total sparsity among tensors.

The randomized-mask paper gives every tensor the same sparsity (uniform, 0); lottery jackpots cut all
tensors at one threshold of importance (global, 1). A number in between blends the two linearly. A floor
keeps every tensor at a fraction of the uniform density, so that no layer is cut off. Finer than one sparsity
for every tensor is one for every output row (row, -1), which Wanda prunes with (arXiv 2306.11695). OWL (owl,
-2) does so too, with shares of blocks by their outliers (`outliers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from rpmask.errors import RpmaskError
from rpmask.masks.arrays import Floats
from rpmask.randomized_masks.keep_probability import Histogram
from rpmask.randomized_masks.outliers import outlier_densities
from rpmask.records import OWL_ALLOCATION, ROW_ALLOCATION

NAMED = {"owl": OWL_ALLOCATION, "row": ROW_ALLOCATION, "uniform": 0.0, "global": 1.0}


def parse_allocation(text: str) -> float:
    """Read `owl`, `row`, `uniform`, `global` or a number between the last two."""
    try:
        value = NAMED[text] if text in NAMED else float(text)
    except ValueError:
        value = math.nan
    if text not in NAMED and not 0.0 <= value <= 1.0:
        raise RpmaskError(
            f"The allocation '{text}' is not between 0 and 1.",
            "Give owl, row, uniform (0), global (1) or a number between the last two, like 0.35.",
        )
    return value


def needs_histograms(allocation: float) -> bool:
    """Whether shares depend on importances."""
    return allocation > 0.0 or allocation == OWL_ALLOCATION


def total_kept(total: int, sparsity: float) -> int:
    """How many of `total` units a sparsity keeps."""
    kept = round(total * (1.0 - sparsity))
    if not kept:
        raise RpmaskError(
            f"A sparsity of {sparsity} keeps none of {total} units.",
            "Give a lower sparsity, or a finer granularity.",
        )
    return kept


def allocate(
    sizes: Mapping[str, int],
    sparsity: float,
    *,
    allocation: float = 0.0,
    floor: float = 0.0,
    limits: Mapping[str, int] | None = None,
    histograms: Mapping[str, Histogram] | None = None,
) -> dict[str, int]:
    """Units kept in each tensor: exactly round(total * (1 - sparsity)) in all, none above its limit.

    `limits` are the units a parent mask keeps; an allocation above 0 needs `histograms` of importance.
    Fractions are rounded by largest remainder, then by name.
    """
    names = sorted(sizes)
    size = np.array([sizes[name] for name in names], dtype=np.float64)
    limit = np.array([(limits or sizes)[name] for name in names], dtype=np.float64)
    kept = total_kept(int(size.sum()), sparsity)
    if kept > limit.sum():
        raise RpmaskError(
            f"A sparsity of {sparsity:g} keeps {kept} units, but the parent mask has {int(limit.sum())}.",
            "Give a sparsity that is not below the parent's.",
        )
    density = kept / size.sum()
    wish = density * size
    if needs_histograms(allocation) and histograms is None:
        raise ValueError("this allocation needs the histograms of importance")
    if allocation == OWL_ALLOCATION and histograms is not None:
        wish = outlier_densities(names, histograms, density) * size
    if allocation > 0.0 and histograms is not None:
        shares = _above_one_threshold([histograms[name] for name in names], kept)
        wish = (1.0 - allocation) * wish + allocation * shares
    least = np.minimum(floor * density * size, limit)
    if kept >= len(names):
        # A tensor that keeps no weight would cut the network in two.
        least = np.maximum(least, np.minimum(1.0, limit))
    if least.sum() > kept:
        least *= kept / least.sum()
    return dict(zip(names, _whole(_scaled(wish, least, limit, kept), limit, kept), strict=True))


def share_rows(kept: int, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Units kept in each of a tensor's rows, (rows,): equal shares within what each row has."""
    limit = most.astype(np.float64)
    wish = np.full(limit.size, kept / limit.size)
    shares = _scaled(wish, np.zeros_like(limit), limit, kept)
    return np.array(_whole(shares, limit, kept), dtype=np.int64)


def shrink(counts: NDArray[np.int64], kept: int, least: int = 0) -> NDArray[np.int64]:
    """`kept` units in all, shared in the proportions of the counts, none above its count.

    Where there are enough, all that have `least` units keep as many.
    """
    limit = counts.astype(np.float64)
    if not kept:
        return np.zeros_like(counts)
    wish, floor = limit * (kept / limit.sum()), np.minimum(least, limit)
    if floor.sum() <= kept:
        wish = _scaled(wish, floor, limit, kept)
    return np.array(_whole(wish, limit, kept), dtype=np.int64)


def _above_one_threshold(histograms: list[Histogram], kept: int) -> Floats:
    """Units of each tensor above the threshold that `kept` units exceed; they share the bin at the cut."""
    top = max(
        (int(histogram.bins[-1]) for histogram in histograms if histogram.bins.size), default=0
    )
    # Bin 0 of this sum is for zeros; all other bins move up by one.
    together = np.zeros(top + 2, dtype=np.int64)
    for histogram in histograms:
        together[histogram.bins + 1] += histogram.counts
        together[0] += histogram.zeros
    reached = np.cumsum(together[::-1])[::-1]  # units in this bin and above
    cut = int(np.flatnonzero(reached >= kept)[-1])
    above = int(reached[cut + 1]) if cut <= top else 0
    share = (kept - above) / max(1, int(together[cut]))
    counts = []
    for histogram in histograms:
        place = histogram.bins + 1
        at = int(histogram.counts[place == cut].sum()) if cut else histogram.zeros
        counts.append(int(histogram.counts[place > cut].sum()) + share * at)
    return np.array(counts, dtype=np.float64)


def _scaled(wish: Floats, least: Floats, most: Floats, kept: int) -> Floats:
    """The wishes times one factor, each clipped to its bounds, so that they add up to `kept`."""
    wish = wish + 1e-9 * most  # a tensor with no wish can still take what others cannot

    def surplus(log_factor: float) -> float:
        return float(np.clip(wish * np.exp(log_factor), least, most).sum()) - kept

    if abs(surplus(0.0)) < 1e-3:
        return np.clip(wish, least, most)
    if surplus(-60.0) >= 0.0:
        return least
    if surplus(60.0) <= 0.0:
        return most
    return np.clip(wish * np.exp(brentq(surplus, -60.0, 60.0, xtol=1e-14)), least, most)


def _whole(shares: Floats, most: Floats, kept: int) -> list[int]:
    """Largest remainder: whole numbers that add up to `kept`, none above its bound."""
    whole = np.minimum(np.floor(shares + 1e-6), most).astype(np.int64)
    order = np.argsort(-(shares - whole), kind="stable")
    missing = kept - int(whole.sum())
    while missing:
        # One more, or one less, at a time in order of remainder; one pass is nearly always enough.
        step = 1 if missing > 0 else -1
        for place in order if step > 0 else order[::-1]:
            if missing and 0 <= whole[place] + step <= most[place]:
                whole[place] += step
                missing -= step
    return [int(count) for count in whole]
