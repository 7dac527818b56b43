"""The vote sampler inside small groups: keep n of every m consecutive weights.

Small groups need no approximation. The chance that one draw takes a given set of n weights is summed over
the orders in which they can be drawn, and a group's votes are one multinomial over its sets. Where there are
too many sets, the draws themselves are made. (The multinomial is numpy's, so a new numpy could redraw such
a mask differently; the mask's digest would show it.)
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from rpmask.masks.arrays import Bools, Floats, Scores
from rpmask.randomized_masks.draws import BLOCK, log_clocks
from rpmask.randomized_masks.vote_sampler import WRONG_DECISION

ENUMERATED = 8  # largest group whose sets are enumerated: 4:8 has the most, 70
MAX_GAP = 40.0  # of log rates: a clock exp(40) times as fast as another always rings first


def draw_in_groups(
    scores: Scores,
    kept: int,
    temperature: float,
    votes: int,
    random: np.random.Generator,
    allowed: Bools | None = None,
) -> Bools:
    """Keep `kept` of every row of scores (groups, size), all of them allowed."""
    if allowed is not None:
        scores = np.where(allowed, scores, np.float32(-1.0))
    keep = top_in_groups(scores, kept, random)
    if temperature == 0.0:
        return keep
    open_groups = np.flatnonzero(~_certain(scores, kept, temperature, votes))
    draw = _enumerated if scores.shape[1] <= ENUMERATED else _drawn
    rows = max(1, BLOCK // scores.shape[1])
    for start in range(0, open_groups.size, rows):
        chosen = open_groups[start : start + rows]
        order = np.argsort(-scores[chosen], axis=1, kind="stable")  # rank -> place
        rates = _log_rates(np.take_along_axis(scores[chosen], order, axis=1), temperature)
        tally = draw(rates, kept, votes, random)
        if allowed is not None:
            tally[~np.take_along_axis(allowed[chosen], order, axis=1)] = -1
        rows_kept = np.empty(tally.shape, dtype=np.bool_)
        np.put_along_axis(rows_kept, order, top_in_groups(tally, kept, random), axis=1)
        keep[chosen] = rows_kept
    return keep


def top_in_groups(values: NDArray[Any], kept: int, random: np.random.Generator) -> Bools:
    """The `kept` largest of every row, exactly; ties at the cut are broken at random."""
    size = values.shape[1]
    if kept >= size:
        return np.ones(values.shape, dtype=np.bool_)
    ordered = np.sort(values, axis=1)
    cut = ordered[:, size - kept]
    keep: Bools = values >= cut[:, None]
    tied = np.flatnonzero(ordered[:, size - kept - 1] == cut)
    if tied.size:
        # Falling values, then a random order: the first `kept` of each row.
        order = np.lexsort((random.random((tied.size, size)), -values[tied]), axis=1)
        rows = np.zeros((tied.size, size), dtype=np.bool_)
        np.put_along_axis(rows, order[:, :kept], True, axis=1)
        keep[tied] = rows
    return keep


def _log_rates(falling: Scores, temperature: float) -> Floats:
    """log p of every rank (groups, size), up to a constant for each group.

    Gaps are limited to MAX_GAP, so that no exponential of a rate becomes zero. A weight of no importance,
    or one that is not allowed, comes that far after all others.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(falling.astype(np.float64)) / temperature
        gaps = np.minimum(-np.diff(logs, axis=1, prepend=logs[:, :1]), MAX_GAP)
    equal = np.maximum(falling[:, 1:], 0.0) == np.maximum(falling[:, :-1], 0.0)
    gaps[:, 0] = 0.0
    gaps[:, 1:][equal] = 0.0  # both have no importance
    gaps[:, 1:][(falling[:, 1:] < 0.0) & (falling[:, :-1] >= 0.0)] = MAX_GAP  # the last allowed
    return -np.cumsum(gaps, axis=1)


def _certain(scores: Scores, kept: int, temperature: float, votes: int) -> Bools:
    """Which groups' most important set is certain to win the vote: (groups,).

    An outsider is drawn only if it rings before a member, which for one pair has the probability
    p_out / (p_in + p_out). If these add up to little for the first outsider and for the last member,
    members get more than half of the votes and outsiders less.
    """
    half = (votes + 1) // 2
    little = float(betaincinv(half, votes - half + 1, WRONG_DECISION))
    ordered = np.sort(np.maximum(scores, 0.0), axis=1)
    split = scores.shape[1] - kept
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        outsiders = np.log(ordered[:, :split].astype(np.float64)) / temperature
        members = np.log(ordered[:, split:].astype(np.float64)) / temperature
        drawn = (1.0 / (1.0 + np.exp(members - outsiders[:, -1:]))).sum(axis=1)
        missed = (1.0 / (1.0 + np.exp(members[:, :1] - outsiders))).sum(axis=1)
    # NaN, where even the last member has no importance, leaves a group open.
    certain: Bools = np.maximum(drawn, missed) <= little
    return certain


def _enumerated(
    rates: Floats, kept: int, votes: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Votes for every rank (groups, size), from the probabilities of all sets."""
    size = rates.shape[1]
    chances = np.stack(_set_chances(np.exp(rates.T), kept), axis=1)  # (groups, sets)
    chances /= chances.sum(axis=1, keepdims=True)
    counts = random.multinomial(votes, chances)
    members = np.zeros((chances.shape[1], size), dtype=np.int64)
    for row, items in enumerate(combinations(range(size), kept)):
        members[row, list(items)] = 1
    tally: NDArray[np.int64] = counts @ members
    return tally


def _set_chances(rates: Floats, kept: int) -> list[Floats]:
    """Probability that a draw of `kept` of the rates (size, groups) takes each set, in combinations' order.

    A set of j + 1 is reached from each of its subsets of j by the missing item, whose probability is its
    share of the rates not yet drawn.
    """
    size, groups = rates.shape
    reached: dict[tuple[int, ...], Floats] = {(): np.ones(groups)}
    for _ in range(kept):
        following: dict[tuple[int, ...], Floats] = {}
        for items, chance in reached.items():
            rest = [item for item in range(size) if item not in items]
            # Summed again: subtracting what is drawn from the total would cancel digits.
            share = chance / sum(rates[item] for item in rest)
            for item in rest:
                larger = tuple(sorted((*items, item)))
                known = following.get(larger)
                part = share * rates[item]
                following[larger] = part if known is None else known + part
        reached = following
    return [reached[items] for items in combinations(range(size), kept)]


def _drawn(rates: Floats, kept: int, votes: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Votes for every rank (groups, size), from the draws themselves."""
    tally = np.zeros(rates.shape, dtype=np.int64)
    for _ in range(votes):
        rings = log_clocks(rates.shape, random) - rates
        last = np.partition(rings, kept - 1, axis=1)[:, kept - 1 : kept]  # (groups, 1)
        tally += rings <= last
    return tally
