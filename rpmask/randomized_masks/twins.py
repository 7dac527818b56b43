"""Twins of a mask: the same but for some weights exchanged at the cut, kept ones for dropped ones.

Weights at the cut are of next to the same importance, so twins are equally good masks, and what a race
finds between them is the noise of training. A twentieth of the kept weights is exchanged: twins that differ
in a thousandth follow the control through a short race, good luck and bad luck included, and show a tenth
of the spread that equally good draws have (part `spread` of benchmarks/screening.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rpmask.masks.arrays import Bools, Scores
from rpmask.randomized_masks.draws import pick
from rpmask.records import MaskRecipe

TWIN_SHARE = 0.05  # of the kept weights are exchanged
WINDOW = 2  # so many times the exchanged ones are looked at on either side of the cut
FEWEST = 20  # kept units below which one exchanged unit would be no small change


def twin_of(recipe: MaskRecipe, number: int) -> MaskRecipe:
    """The recipe of a mask's twin, numbered from 1; the mask is one without noise."""
    return replace(recipe, swapped=TWIN_SHARE, twin=number)


def exchanges(kept: int, share: float) -> int:
    """How many units are exchanged of so many kept ones; none of a few."""
    return max(1, round(share * kept)) if kept >= FEWEST else 0


def exchange(
    keep: Bools, scores: Scores, share: float, random: np.random.Generator, allowed: Bools | None
) -> Bools:
    """The mask (units,) with some of the kept units nearest the cut exchanged for dropped ones."""
    free = ~keep if allowed is None else ~keep & allowed
    inside, outside = np.flatnonzero(keep), np.flatnonzero(free)
    count = min(exchanges(inside.size, share), outside.size)
    window = WINDOW * count
    least = inside[np.argsort(scores[inside], kind="stable")[:window]]
    best = outside[np.argsort(-scores[outside], kind="stable")[:window]]
    found = keep.copy()
    found[least[pick(least.size, count, random)]] = False
    found[best[pick(best.size, count, random)]] = True
    return found


def exchange_in_groups(
    keep: Bools, scores: Scores, share: float, random: np.random.Generator, allowed: Bools | None
) -> Bools:
    """The same for (groups, size), where every group keeps as many as before: a pair in some groups."""
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
