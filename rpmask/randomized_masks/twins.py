"""Twins of a mask: the same mask with some kept weights near the cut exchanged for dropped ones.

Weights near the cut have nearly the same importance, so twins are equally good masks, and differences
between them in a race are training noise. A twentieth of the kept weights is exchanged: twins that differ in
a thousandth follow the control closely through a short race, and show a tenth of the spread that equally
good draws have (part `spread` of benchmarks/screening.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.arrays import Bools, Scores
from rpmask.randomized_masks.draws import pick
from rpmask.records import MaskRecipe

TWIN_SHARE = 0.05  # share of the kept weights that is exchanged
WINDOW = 2  # candidates for an exchange on each side of the cut, in multiples of the exchanges
FEWEST = 20  # kept units below which one exchanged unit would be a large change


def twin_of(recipe: MaskRecipe, number: int) -> MaskRecipe:
    """The recipe of twin `number`, counted from 1, of a deterministic mask."""
    return replace(recipe, swapped=TWIN_SHARE, twin=number)


def exchanges(kept: int, share: float) -> int:
    """How many of the kept units are exchanged; none if there are few."""
    return max(1, round(share * kept)) if kept >= FEWEST else 0


def exchange(
    keep: Bools, scores: Scores, share: float, random: np.random.Generator, allowed: Bools | None
) -> Bools:
    """The mask (units,) with some kept units nearest the cut exchanged for dropped ones."""
    free = ~keep if allowed is None else ~keep & allowed
    inside, outside = np.flatnonzero(keep), np.flatnonzero(free)
    count = min(exchanges(inside.size, share), outside.size)
    window = WINDOW * count
    least = inside[lowest(scores[inside], window)]
    best = outside[lowest(-scores[outside], window)]
    found = keep.copy()
    found[least[pick(least.size, count, random)]] = False
    found[best[pick(best.size, count, random)]] = True
    return found


def lowest(values: Scores, count: int) -> NDArray[np.intp]:
    """The places of the lowest values in rising order, of equal ones the first: a stable sort's first."""
    if not 0 < count < values.size:
        return np.argsort(values, kind="stable")[:count]
    places = np.flatnonzero(values <= np.partition(values, count - 1)[count - 1])
    return places[np.argsort(values[places], kind="stable")[:count]]


def exchange_in_groups(
    keep: Bools, scores: Scores, share: float, random: np.random.Generator, allowed: Bools | None
) -> Bools:
    """The same for (groups, size): one pair is exchanged in some groups, so each keeps as many as before."""
    free = ~keep if allowed is None else ~keep & allowed
    open_groups = np.flatnonzero(free.any(axis=1) & keep.any(axis=1))
    count = min(exchanges(int(keep.sum()), share), open_groups.size)
    rows = open_groups[pick(open_groups.size, count, random)]
    found = keep.copy()
    least = np.where(keep[rows], scores[rows], np.inf).argmin(axis=1)
    best = np.where(free[rows], scores[rows], -np.inf).argmax(axis=1)
    found[rows, least] = False
    found[rows, best] = True
    return found
