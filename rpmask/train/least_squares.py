"""Least squares for the kept weights of a matrix: a system of its own for each output unit.

Small systems are factorized one by one. Where many weights are kept, conjugate gradients solve all output
units at once: each iteration is a single product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch

# Of the mean squared input, times the unknowns of a unit by the rows they are fitted to.
RIDGE = 2.0
MOST_ENTRIES = 1 << 18  # of the systems that are solved together: two megabytes stay in a cache
# At most, of conjugate gradients: the last ones fit what only the calibration rows say.
ITERATIONS = 15
ROUGH_ITERATIONS = 5  # of a solution that is only looked at
TOLERANCE = 1e-3  # of the residual, as a share of the right-hand side
CHECK_EVERY = 5  # iterations
# Operations of a factorization that take as long as one of a product of large matrices, measured on one core
# (`benchmarks/refitting.py`).
FACTORIZATION_COST = 30.0
PANELS = 4  # of a Gram matrix, whose lower triangle is copied: five eighths of the products


def gram_matrix(rows: torch.Tensor) -> torch.Tensor:
    """The products of all pairs of columns, (columns, columns)."""
    width = rows.shape[1]
    found = rows.new_empty(width, width)
    bounds = [width * panel // PANELS for panel in range(PANELS + 1)]
    for start, end in pairwise(bounds):
        part = rows[:, start:end].T @ rows[:, start:]
        found[start:end, start:] = part
        found[start:, start:end] = part.T
    return found


def solve_kept(
    gram: torch.Tensor,  # (in + 1, in + 1)
    target: torch.Tensor,  # (in + 1, out)
    start: torch.Tensor,  # (in + 1, out)
    keep: torch.Tensor,  # (out, in)
    biased: bool,
    *,
    guess: torch.Tensor | None = None,  # (in + 1, out)
    rough: bool = False,
) -> torch.Tensor:
    """The weights of every output unit, (in + 1, out): zero where dropped, the bias last.

    They minimize the squared error of the answers, plus a ridge that pulls them to `start`: the harder, the
    more weights a unit keeps by the number of rows, since one with as many weights as rows would fit their
    noise. The last input is one in every row, so the Gram matrix ends with the number of rows. Iterations
    begin at the guess, or else at `start`; a rough solution takes few.
    """
    bias = torch.full((len(keep), 1), biased)
    kept = torch.cat([keep.cpu(), bias], dim=1)  # (out, in + 1)
    unknowns = float(kept.sum(1).double().mean())
    share = RIDGE * unknowns / gram[-1, -1].clamp_min(1.0)
    ridge = share * gram.diagonal()[:-1].mean().clamp_min(1e-12)
    pulled = target + ridge * start
    if _many_kept(kept, gram.is_cuda):
        begin, most = start if guess is None else guess, ROUGH_ITERATIONS if rough else ITERATIONS
        return _conjugate_gradients(gram, pulled, begin, kept.T.to(gram), ridge, most)
    # On the CPU: only a few of these systems fit a GPU at once, and not every device has doubles.
    solved = _factorized(gram.cpu().double(), pulled.cpu().double(), kept, ridge.cpu().double())
    return solved.to(start)


def _many_kept(kept: torch.Tensor, on_gpu: bool) -> bool:
    """Whether conjugate gradients take less time than factorizations."""
    units, width = kept.shape
    factorizations = float((kept.sum(1).double() ** 3 / 3).sum())
    products = float(ITERATIONS * width * width * units)
    return on_gpu or FACTORIZATION_COST * factorizations > products


def _conjugate_gradients(
    gram: torch.Tensor,  # (in + 1, in + 1)
    pulled: torch.Tensor,  # (in + 1, out)
    start: torch.Tensor,  # (in + 1, out)
    kept: torch.Tensor,  # (in + 1, out), 1 where kept
    ridge: torch.Tensor,
    iterations: int,
) -> torch.Tensor:
    """All units at once, in the space of their kept weights; the preconditioner is the diagonal."""
    scale = gram.diagonal().mean().clamp_min(1e-12)
    gram, wanted, added = gram / scale, pulled / scale * kept, float(ridge / scale)
    inverse = 1.0 / (gram.diagonal() + added)[:, None]
    found = start * kept
    residual = wanted - torch.addmm(found, gram, found, beta=added) * kept
    direction = inverse * residual
    size = (residual * direction).sum(0)  # (out,)
    enough = TOLERANCE**2 * (wanted * inverse * wanted).sum(0)
    for iteration in range(iterations):
        if iteration % CHECK_EVERY == 0 and bool((size <= enough).all()):
            break
        product = torch.addmm(direction, gram, direction, beta=added).mul_(kept)
        step = size / (direction * product).sum(0).clamp_min(1e-30)
        found.addcmul_(direction, step[None])
        residual.addcmul_(product, -step[None])
        corrected = inverse * residual
        before, size = size, (residual * corrected).sum(0)
        direction = corrected.addcmul_(direction, (size / before.clamp_min(1e-30))[None])
    return found


def _factorized(
    gram: torch.Tensor,  # (in + 1, in + 1)
    pulled: torch.Tensor,  # (in + 1, out)
    kept: torch.Tensor,  # (out, in + 1)
    ridge: torch.Tensor,
) -> torch.Tensor:
    """Unit by unit, those with about as many kept weights together."""
    counts = kept.sum(1)
    found = torch.zeros_like(pulled)
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
