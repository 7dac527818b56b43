"""Lottery jackpots, the part that is tensors: scores, straight-through gradients, restricted swaps.

Every prunable weight has a score, and a tensor's mask keeps as many weights as it did at the start:
those with the highest scores. The mask is a step function of the scores, so the gradient is passed
straight through it: for effective weights w * m(s), dL/ds = dL/d(w * m) * w. The weights never move.

The short restriction (section 3 of the paper) lets only part of the swaps through that the scores
ask for after an optimizer step, a share that falls over the search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.records import RESTRICTIONS

KEPT_START, DROPPED_START = 1.0, 0.99  # the paper's; what is dropped starts within reach


def start_scores(keep: torch.Tensor) -> torch.Tensor:
    """The scores a mask is the start of: 1.0 where it keeps, 0.99 where it drops."""
    scores = torch.full(keep.shape, DROPPED_START, dtype=torch.float32, device=keep.device)
    return scores.masked_fill_(keep, KEPT_START)


def restriction_rate(kind: str, done: float) -> float:
    """r_t, the share of the swaps that may happen when `done` = t / T of the search is over."""
    if kind == "quartic":
        return (1.0 - done) ** 4
    if kind == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if kind == "off":
        return 1.0
    raise RpmaskError(
        f"There is no restriction '{kind}'.", f"Choose one of {', '.join(RESTRICTIONS)}."
    )


def wanted_swaps(scores: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The swaps that would make `keep` the top-k of the scores: indices to take, and to drop.

    Best pair first: the highest dropped score against the lowest kept one. A pair of equal scores
    is not a swap, so a tie at the cut stays as it is. Both arguments are flat.
    """
    lowest_kept = scores.masked_fill(~keep, math.inf).min()
    highest_dropped = scores.masked_fill(keep, -math.inf).max()
    # Only these can be in a swap, and they are few: nothing is sorted that stays where it is.
    taken = torch.nonzero(~keep & (scores > lowest_kept)).squeeze(1)
    dropped = torch.nonzero(keep & (scores < highest_dropped)).squeeze(1)
    taken = taken[torch.argsort(scores[taken], descending=True, stable=True)]
    dropped = dropped[torch.argsort(scores[dropped], stable=True)]
    pairs = min(taken.numel(), dropped.numel())
    worthwhile = int(torch.count_nonzero(scores[taken[:pairs]] > scores[dropped[:pairs]]))
    return taken[:worthwhile], dropped[:worthwhile]


def swap(scores: torch.Tensor, keep: torch.Tensor, rate: float) -> int:
    """Carry out the ceil(s * rate) best of the s wanted swaps, in place; how many that were.

    The kept count cannot change: every weight taken replaces one that is dropped.
    """
    taken, dropped = wanted_swaps(scores, keep)
    allowed = math.ceil(taken.numel() * rate)
    keep[taken[:allowed]] = True
    keep[dropped[:allowed]] = False
    return allowed


class ScoredWeights:
    """Frozen weights, one score each, and the mask that the scores have reached.

    A step is: `effective` weights into the forward pass, `pass_gradients` after the backward pass,
    the optimizer on `scores`, `update`.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], start: Mask) -> None:
        self._weights = {name: weights[name].detach() for name in start.names}
        self._keep = {n: start.keep(n).to(w.device) for n, w in self._weights.items()}
        self._effective: dict[str, torch.Tensor] = {}
        self.scores = {
            name: start_scores(keep).requires_grad_() for name, keep in self._keep.items()
        }

    def effective(self) -> dict[str, torch.Tensor]:
        """w * m by name, as leaves that collect a gradient."""
        self._effective = {
            name: (weight * self._keep[name]).requires_grad_()
            for name, weight in self._weights.items()
        }
        return self._effective

    @torch.no_grad()
    def pass_gradients(self) -> None:
        """Hand the effective weights' gradients to the scores, and let the effective weights go."""
        for name, effective in self._effective.items():
            score = self.scores[name]
            if effective.grad is None:
                raise RpmaskError(
                    f"The loss does not depend on '{name}'.",
                    f"Leave it out with --exclude '{name}'.",
                )
            score.grad = effective.grad.mul_(self._weights[name]).to(score.dtype)
        self._effective = {}

    @torch.no_grad()
    def update(self, rate: float) -> int:
        """Let the mask follow the scores by a share of the swaps they ask for; how many were made."""
        return sum(
            swap(score.view(-1), self._keep[name].view(-1), rate)
            for name, score in self.scores.items()
        )

    def mask(self) -> Mask:
        """The mask as it is now."""
        return Mask.from_bools({name: keep.cpu() for name, keep in self._keep.items()})

    @torch.no_grad()
    def restore(self, scores: Mapping[str, torch.Tensor], mask: Mask) -> None:
        """Go on from the scores and the mask of a checkpoint."""
        for name, score in self.scores.items():
            score.copy_(scores[name])
            self._keep[name].copy_(mask.keep(name))
