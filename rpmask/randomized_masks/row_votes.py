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
from rpmask.randomized_masks.draws import BLOCK, log_clocks
from rpmask.randomized_masks.group_votes import top_in_groups

SHORT = 64  # units of a row, below which every draw is made
FAR = 64.0  # of a log rate: a draw that is as far from even never or always takes the unit
PASSES = 48  # of Newton's method for the log times, or of halvings where it leaves the interval
PRECISE = 1e-8  # of a step between log times, after which the next one would be its square


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
            ranked = random.binomial(votes, chances(logs, kept)).astype(np.float64)
        ranked[scores <= 0.0] = -1.0  # kept only where the others are too few
    if allowed is not None:
        ranked[~allowed] = -2.0
    keep = np.empty(scores.shape, dtype=np.bool_)
    for count in np.unique(kept):
        rows = np.flatnonzero(kept == count)
        keep[rows] = top_in_groups(ranked[rows], int(count), random) if count else False
    return keep


def chances(logs: Floats, kept: NDArray[np.int64]) -> Floats:
    """q of every unit, (rows, size): the chance that one draw of the row takes it."""
    found = np.empty_like(logs)
    rows = max(1, BLOCK // logs.shape[1])
    for start in range(0, len(logs), rows):
        part = slice(start, start + rows)
        found[part] = _chances(logs[part], kept[part])
    return found


def _chances(logs: Floats, kept: NDArray[np.int64]) -> Floats:
    size = logs.shape[1]
    finite = np.isfinite(logs)
    some = finite.any(axis=1)
    low = np.where(some, -logs.max(axis=1), 0.0) - FAR
    high = np.where(some, -np.where(finite, logs, np.inf).min(axis=1), 0.0) + FAR
    # The last unit to be kept rings early enough or not with about even chances.
    last = np.sort(logs, axis=1)[np.arange(len(kept)), np.clip(size - kept, 0, size - 1)]
    times = np.clip(np.where(np.isfinite(last), -last, low), low, high)
    rows = np.arange(len(kept))  # that are not solved
    for _ in range(PASSES):
        now = times[rows]
        rates = np.exp(np.minimum(logs[rows] + now[:, None], FAR))
        missed = np.exp(-rates)
        over = size - missed.sum(axis=1) - kept[rows]
        high[rows] = np.where(over >= 0, now, high[rows])
        low[rows] = np.where(over >= 0, low[rows], now)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = now - over / (rates * missed).sum(axis=1)
        solved = np.abs(newton - now) <= PRECISE
        inside = (newton > low[rows]) & (newton < high[rows])
        times[rows] = np.where(solved | inside, newton, (low[rows] + high[rows]) / 2)
        rows = rows[~solved]
        if not rows.size:
            break
    return _taken(logs, times)


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
