"""The vote sampler inside output rows: every row keeps its own number of units.

A row is as small a tensor: it has a clock of its own (`keep_probability.py`), and the votes for a unit are
Binomial(m, q). Wanda compares weights within rows (arXiv 2306.11695). Short rows, whose votes are not nearly
independent, and single draws are drawn by exponential clocks. (The binomial is numpy's, so a new numpy could
redraw such a mask differently; the mask's digest would show it.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.arrays import Bools, Floats, Scores
from rpmask.randomized_masks.draws import log_clocks
from rpmask.randomized_masks.group_votes import top_in_groups

SHORT = 64  # units of a row, below which every draw is made
FAR = 64.0  # of a log rate: a draw that is as far from even never or always takes the unit
HALVINGS = 48  # of an interval of log times


def draw_in_rows(
    scores: Scores,  # (rows, size)
    kept: NDArray[np.int64],  # (rows,)
    temperature: float,
    votes: int,
    random: np.random.Generator,
    allowed: Bools | None = None,  # (rows, size)
) -> Bools:
    """Keep this many units of every row, all of them allowed."""
    ranked: NDArray[np.float64] = scores.astype(np.float64)
    if temperature > 0.0:
        with np.errstate(divide="ignore"):
            logs = np.log(ranked) / temperature
        if votes == 1 or scores.shape[1] < SHORT:
            ranked = _drawn(logs, kept, votes, random)
        else:
            ranked = random.binomial(votes, _chances(logs, kept)).astype(np.float64)
        ranked[scores <= 0.0] = -1.0  # kept only where the others are too few
    if allowed is not None:
        ranked[~allowed] = -2.0
    keep = np.empty(scores.shape, dtype=np.bool_)
    for count in np.unique(kept):
        rows = np.flatnonzero(kept == count)
        keep[rows] = top_in_groups(ranked[rows], int(count), random) if count else False
    return keep


def _chances(logs: Floats, kept: NDArray[np.int64]) -> Floats:
    """q of every unit, (rows, size): the chance that one draw of the row takes it."""
    finite = np.isfinite(logs)
    top = np.where(finite, logs, -np.inf).max(axis=1, initial=-np.inf)
    low_rate = np.where(finite, logs, np.inf).min(axis=1, initial=np.inf)
    some = finite.any(axis=1)
    low = np.where(some, -top, 0.0) - FAR
    high = np.where(some, -low_rate, 0.0) + FAR
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = _taken(logs, middle).sum(axis=1) >= kept
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return _taken(logs, high)


def _taken(logs: Floats, times: Floats) -> Floats:
    with np.errstate(under="ignore"):
        return -np.expm1(-np.exp(np.minimum(logs + times[:, None], FAR)))


def _drawn(
    logs: Floats, kept: NDArray[np.int64], votes: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Votes of every unit, (rows, size), from the draws themselves."""
    tally = np.zeros(logs.shape)
    places = np.maximum(kept - 1, 0)[:, None]
    for _ in range(votes):
        rings = log_clocks(logs.shape, random) - logs
        last = np.take_along_axis(np.sort(rings, axis=1), places, axis=1)
        tally += (rings <= last) & (kept > 0)[:, None]
    return tally
