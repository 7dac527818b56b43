"""Wanda and SparseGPT, written plainly from their papers, to compare with.

Both walk through the blocks of a decoder, prune each by what its matrices receive on the calibration blocks,
and pass the pruned block's outputs on. Wanda (arXiv 2306.11695) keeps the largest |w| * norm of the input
within each output row. SparseGPT (arXiv 2301.00774) goes through the columns in steps of 128: it drops the
weights of a step with the least w^2 / [H^-1]_jj, and corrects the later columns for each column's error.
`tests/test_rivals.py` checks the properties that the papers state.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

STEP = 128  # columns of SparseGPT whose mask is chosen together
DAMPING = 0.01  # of the mean diagonal of H

# Of a weight, (out, in), and the sums over its inputs x: of x^2, (in,), or of x x^T, (in, in).
Prune = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def smallest(scores: torch.Tensor, dropped: int) -> torch.Tensor:
    """True at the `dropped` smallest of each row."""
    found = torch.zeros_like(scores, dtype=torch.bool)
    return found.scatter_(1, scores.topk(dropped, dim=1, largest=False).indices, value=True)


def wanda(
    weight: torch.Tensor, squares: torch.Tensor, sparsity: float, groups: bool
) -> torch.Tensor:
    """The pruned weights; 2 of every 4 in a row are dropped with `groups`."""
    scores = weight.abs() * squares.sqrt()
    if groups:
        drop = smallest(scores.reshape(-1, 4), 2).reshape(weight.shape)
    else:
        drop = smallest(scores, round(weight.shape[1] * sparsity))
    return weight.masked_fill(drop, 0.0)


def sparsegpt(
    weight: torch.Tensor, hessian: torch.Tensor, sparsity: float, groups: bool
) -> torch.Tensor:
    """The pruned and corrected weights; 2 of every 4 in a row are dropped with `groups`."""
    left, width = weight.clone(), weight.shape[1]
    damped = hessian.clone()
    silent = damped.diagonal() == 0
    damped[silent, silent] = 1.0
    left[:, silent] = 0.0
    damped.diagonal().add_(DAMPING * damped.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    # Row j of the upper factor holds, of the inverse of H without columns before j, what column j needs.
    factor = torch.linalg.cholesky(inverse, upper=True)
    for start in range(0, width, STEP):
        part = slice(start, min(start + STEP, width))
        columns, own = left[:, part], factor[part, part]
        errors = torch.empty_like(columns)
        drop = torch.zeros_like(columns, dtype=torch.bool)
        if not groups:
            scores = (columns / own.diagonal()).square().reshape(1, -1)
            drop = smallest(scores, round(scores.numel() * sparsity)).reshape(columns.shape)
        for j in range(columns.shape[1]):
            if groups and j % 4 == 0:
                scores = (columns[:, j : j + 4] / own.diagonal()[j : j + 4]).square()
                drop[:, j : j + 4] = smallest(scores, 2)
            kept = columns[:, j].masked_fill(drop[:, j], 0.0)
            errors[:, j] = (columns[:, j] - kept) / own[j, j]
            columns[:, j:].addr_(errors[:, j], own[j, j:], alpha=-1.0)
            columns[:, j] = kept
        left[:, part.stop :].addmm_(errors, factor[part, part.stop :], alpha=-1.0)
    return left


@torch.no_grad()
def prune(
    model: nn.Module, tokens: torch.Tensor, method: Prune, *, products: bool, together: int = 4
) -> None:
    """Prune the Linear matrices of a Llama's blocks on blocks of tokens, (blocks, length).

    `products` says which sums the method needs.
    """
    base = model.base_model
    states = list(base.embed_tokens(tokens).split(together))
    places = torch.arange(tokens.shape[1])[None]
    turned = base.rotary_emb(states[0], places)
    for block in base.layers:
        matrices = [module for module in block.modules() if isinstance(module, nn.Linear)]
        sums: dict[nn.Module, torch.Tensor] = {}

        def add(module: nn.Module, inputs: tuple[torch.Tensor], sums: dict = sums) -> None:
            rows = inputs[0].reshape(-1, inputs[0].shape[-1])
            sums[module] = sums.get(module, 0) + (
                rows.T @ rows if products else (rows * rows).sum(0)
            )

        handles = [module.register_forward_pre_hook(add) for module in matrices]
        for state in states:
            block(state, position_embeddings=turned)
        for handle in handles:
            handle.remove()
        for module in matrices:
            module.weight.copy_(method(module.weight, sums[module]))
        states = [block(state, position_embeddings=turned) for state in states]
