"""The short restriction of lottery jackpots (section 3): only part of the wanted swaps are made.

After an optimizer step the top-k of the scores may differ from the mask in s pairs of weights. Only the
ceil(s * r_t) best pairs are swapped, and the rate r_t falls over the search, from 1 to 0.
"""

from __future__ import annotations

import math

import torch


def restriction_rate(kind: str, done: float) -> float:
    """r_t, the share of the swaps to make when `done` = t / T of the search is over."""
    if kind == "quartic":
        return (1.0 - done) ** 4
    if kind == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    assert kind == "off", kind  # SearchPlan.check refuses anything else
    return 1.0


def wanted_swaps(scores: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The swaps that would make `keep` the top-k of the scores: indices to take, indices to drop.

    The best pair comes first: the highest dropped score with the lowest kept one. Equal scores are not
    swapped, so a tie at the cut stays as it is. Both arguments are flat.
    """
    lowest_kept = scores.masked_fill(~keep, math.inf).min()
    highest_dropped = scores.masked_fill(keep, -math.inf).max()
    # Only these can be part of a swap. They are few, so the sort is short.
    taken = torch.nonzero(~keep & (scores > lowest_kept)).squeeze(1)
    dropped = torch.nonzero(keep & (scores < highest_dropped)).squeeze(1)
    taken = taken[torch.argsort(scores[taken], descending=True, stable=True)]
    dropped = dropped[torch.argsort(scores[dropped], stable=True)]
    pairs = min(taken.numel(), dropped.numel())
    better = int(torch.count_nonzero(scores[taken[:pairs]] > scores[dropped[:pairs]]))
    return taken[:better], dropped[:better]


def swap(scores: torch.Tensor, keep: torch.Tensor, rate: float) -> int:
    """Make the ceil(s * rate) best of the s wanted swaps, in place, and return how many that were.

    The kept count does not change: every weight taken replaces a dropped one.
    """
    taken, dropped = wanted_swaps(scores, keep)
    allowed = math.ceil(taken.numel() * rate)
    keep[taken[:allowed]] = True
    keep[dropped[:allowed]] = False
    return allowed
