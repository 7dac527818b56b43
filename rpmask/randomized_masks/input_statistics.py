"""Statistics of what the input units of matrices receive: their norms, and the inverse of their Gram matrix.

Both need forward passes only. The Gram matrix H of a layer's inputs is the Hessian of the squared error of
its outputs. Without a weight w_j the error grows by w_j^2 / [H^-1]_jj once the row's other weights have been
fitted anew (Optimal Brain Surgeon); SparseGPT prunes by that (arXiv 2301.00774).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rpmask.masks.weights import base_of, block_of
from rpmask.train.batches import real_rows
from rpmask.train.block_passes import Batches, Passes, owner_of, used_together, watching
from rpmask.train.observer import Observer

KINDS = ("wanda", "sparsegpt")
DAMPING = 0.01  # of the mean squared input, added to the diagonal of H


@torch.no_grad()
def input_statistics(
    model: nn.Module,
    batches: Batches,
    tensors: Sequence[str],
    kinds: Sequence[str],
    observer: Observer,
) -> dict[str, dict[str, torch.Tensor]]:
    """The statistics of every tensor, by kind and tensor: (in,).

    Blocks are taken one after another, so that only one has its Gram matrices in memory; what a pass uses
    more than once, and what is no matrix, waits for whole passes.
    """
    base = base_of(model)
    used = [
        name
        for batch in batches[:1]
        for group in used_together(model, tensors, batch)
        for name in group
    ]
    blocks = list(dict.fromkeys(map(block_of, used)))
    parts = [[name for name in used if block_of(name) == block] for block in blocks]
    found: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in kinds}
    with Passes(model, batches, blocks) as passes:
        for done, (block, names) in enumerate(zip(blocks, parts, strict=True), start=1):
            calls = passes.calls(block)
            sums, outputs = InputSums(base, kinds), []
            with watching(base, names, sums.add):
                for batch, call in zip(batches, calls, strict=True):
                    sums.real = batch.get("attention_mask")
                    outputs.append(call())
            for kind, values in sums.statistics().items():
                found[kind] |= values
            passes.replay(block, outputs)
            observer.progress(done, len(blocks), "calibration")
    if others := [name for name in tensors if name not in used]:
        sums = InputSums(base, kinds)
        with watching(base, others, sums.add):
            for batch in batches:
                sums.real = batch.get("attention_mask")
                base(**batch)
        for kind, values in sums.statistics().items():
            found[kind] |= values
    return found


class InputSums:
    """Sums over the inputs of the modules that own tensors (`watching`).

    `real` is the attention mask of the current batch. Modules with the very same input share one Gram matrix.
    """

    def __init__(self, base: nn.Module, kinds: Sequence[str]) -> None:
        self.real: torch.Tensor | None = None
        self._base, self._kinds = base, kinds
        self._squares: dict[str, torch.Tensor] = {}  # by tensor, (in,)
        self._grams: dict[str, torch.Tensor] = {}  # by the first tensor with an input, (in, in)
        self._first: dict[str, str] = {}
        self._last: tuple[str, torch.Tensor] | None = None

    def add(self, name: str, given: torch.Tensor) -> None:
        """Add what the module that owns a tensor receives."""
        channels = 1 if isinstance(owner_of(self._base, name), nn.Conv2d) else -1  # of the inputs
        rows = real_rows(given.detach().float().movedim(channels, -1), self.real)  # (rows, in)
        if "wanda" in self._kinds:
            _add(self._squares, name, rows.square().sum(0))
        if "sparsegpt" not in self._kinds:
            return
        if name not in self._first:
            shares = self._last is not None and self._last[1] is given
            self._first[name] = self._last[0] if self._last and shares else name
        if self._first[name] == name:
            _add(self._grams, name, rows.T @ rows)
        self._last = (self._first[name], given)

    def statistics(self) -> dict[str, dict[str, torch.Tensor]]:
        """The statistics, by kind and tensor: (in,)."""
        found: dict[str, dict[str, torch.Tensor]] = {}
        if "wanda" in self._kinds:
            found["wanda"] = {name: squares.sqrt() for name, squares in self._squares.items()}
        if "sparsegpt" in self._kinds:
            known = {name: precision(gram) for name, gram in self._grams.items()}
            found["sparsegpt"] = {name: known[first].clone() for name, first in self._first.items()}
        return found


def precision(gram: torch.Tensor) -> torch.Tensor:
    """1 / [H^-1]_jj of every input unit, (in,), of the damped Gram matrix H; not finite where H is not."""
    damped = gram.clone()
    damped.diagonal().add_(DAMPING * gram.diagonal().mean().clamp_min(1e-12))
    factor, failed = torch.linalg.cholesky_ex(damped)
    if bool(failed):
        return torch.full_like(gram[0], torch.nan)
    return 1.0 / torch.cholesky_inverse(factor).diagonal()


def _add(sums: dict[str, torch.Tensor], name: str, value: torch.Tensor) -> None:
    known = sums.get(name)
    sums[name] = value if known is None else known.add_(value)
