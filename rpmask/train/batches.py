"""The order in which a race sees rows, and the rows that statistics are computed on.

Every candidate of a race sees the same batches in the same order (common random numbers), so two
candidates differ only in their masks.
"""

from __future__ import annotations

import numpy as np
import torch

from rpmask.heads.splits import Split
from rpmask.streams import generator

MEGABATCH = 16  # batches sorted by length together, so that little is padded


def real_rows(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Flatten values to rows, (rows, width), without padding where they still have the shape of tokens."""
    if real is not None and values.shape[:-1] == real.shape:
        values = values[real.bool()]
    return values.reshape(-1, values.shape[-1])


def training_order(data: Split, batch_size: int, steps: int, seed: int) -> list[np.ndarray]:
    """Row indices of every step: epochs of shuffled, length-grouped, full batches."""
    batch_size = min(batch_size, len(data))
    chunk = batch_size * MEGABATCH
    lengths = data.lengths
    order: list[np.ndarray] = []
    epoch = 0
    while len(order) < steps:
        rng = generator(seed, "order", str(epoch))
        rows = rng.permutation(len(data))
        rows = rows[: len(rows) // batch_size * batch_size]
        groups = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]
        rows = np.concatenate(
            [group[np.argsort(-lengths[group], kind="stable")] for group in groups]
        )
        batches = rows.reshape(-1, batch_size)
        order.extend(batches[rng.permutation(len(batches))])
        epoch += 1
    return order[:steps]


def calibration_rows(available: int, rows: int, seed: int) -> np.ndarray:
    """The training rows that statistics are computed on: seeded, in a seeded order."""
    return generator(seed, "calibration").permutation(available)[:rows]
