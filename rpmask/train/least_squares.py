"""Least squares for the kept weights of a matrix: a small system of its own for each output unit."""

from __future__ import annotations

from collections.abc import Iterator

import torch

RIDGE = 0.01  # of the mean squared input
MOST_ENTRIES = 1 << 18  # of the systems that are solved together: two megabytes stay in a cache


def solve_kept(
    gram: torch.Tensor,  # (in + 1, in + 1)
    target: torch.Tensor,  # (in + 1, out)
    start: torch.Tensor,  # (in + 1, out)
    keep: torch.Tensor,  # (out, in)
    biased: bool,
) -> torch.Tensor:
    """The weights of every output unit, (in + 1, out): zero where dropped, the bias last."""
    ridge = RIDGE * gram.diagonal()[:-1].mean().clamp_min(1e-12)
    kept = torch.cat([keep.cpu(), torch.full((len(keep), 1), biased)], dim=1)  # (out, in + 1)
    counts = kept.sum(1)
    found = torch.zeros_like(start)
    pulled = target + ridge * start
    for units in _alike(counts):
        most = int(counts[units].max())
        if most == 0:
            continue
        # Each unit's kept weights by their columns; what only fills up is cut loose below.
        filled = torch.arange(most) < counts[units, None]  # (units, most)
        unit, column = kept[units].nonzero(as_tuple=True)
        columns = torch.zeros(len(units), most, dtype=torch.long)
        columns[filled] = column
        system = gram[columns[:, :, None], columns[:, None, :]]
        system *= filled[:, :, None] & filled[:, None, :]
        system += torch.diag_embed(torch.where(filled, ridge, torch.ones_like(ridge)))
        wanted = torch.zeros(len(units), most, dtype=found.dtype)
        wanted[filled] = pulled[column, units[unit]]
        solution = torch.cholesky_solve(wanted[:, :, None], torch.linalg.cholesky(system))
        found[column, units[unit]] = solution[:, :, 0][filled]
    return found


def _alike(counts: torch.Tensor) -> Iterator[torch.Tensor]:
    """The units in groups that keep about as many weights, each small enough to solve at once."""
    order = counts.argsort()
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * int(counts[order[end]]) ** 2 <= MOST_ENTRIES:
            end += 1
        yield order[start:end]
        start = end
