"""The scores of lottery jackpots, and their gradients straight through the mask.

Every prunable weight has a score, and a tensor's mask keeps as many weights as it did at the start: those
with the highest scores. The mask is a step function of the scores, so the gradient is passed straight
through it: for effective weights w * m(s), dL/ds = dL/d(w * m) * w. The weights never change.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rpmask.errors import RpmaskError
from rpmask.lottery_jackpots.short_restriction import swap
from rpmask.masks.mask import Mask

KEPT_START, DROPPED_START = (
    1.0,
    0.99,
)  # the paper's: a dropped weight starts just below the kept ones


def start_scores(keep: torch.Tensor) -> torch.Tensor:
    """The scores at the start of a search: 1.0 where the mask keeps, 0.99 where it drops."""
    scores = torch.full(keep.shape, DROPPED_START, dtype=torch.float32, device=keep.device)
    return scores.masked_fill_(keep, KEPT_START)


class ScoredWeights:
    """Frozen weights, a score for each, and the current mask.

    One step: run the forward pass with the `effective` weights, call `pass_gradients` after the backward
    pass, step the optimizer on `scores`, call `update`.
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
        """Give the scores the gradients of the effective weights, and free the effective weights."""
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
        """Make this share of the swaps that the scores want, and return how many were made."""
        return sum(
            swap(score.view(-1), self._keep[name].view(-1), rate)
            for name, score in self.scores.items()
        )

    def mask(self) -> Mask:
        """The current mask."""
        return Mask.from_bools({name: keep.cpu() for name, keep in self._keep.items()})

    @torch.no_grad()
    def restore(self, scores: Mapping[str, torch.Tensor], mask: Mask) -> None:
        """Set the scores and the mask to those of a checkpoint."""
        for name, score in self.scores.items():
            score.copy_(scores[name])
            self._keep[name].copy_(mask.keep(name))
