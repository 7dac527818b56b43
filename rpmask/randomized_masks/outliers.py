"""Share a sparsity among blocks by their outliers: OWL (arXiv 2310.05175).

A block that has more weights of outstanding importance keeps more. Its outliers are the weights whose
importance is several times the block's mean; the tensors of a block have the same sparsity, and so have their
rows. The densities of blocks differ from one another by at most twice SPREAD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rpmask.masks.arrays import Floats
from rpmask.masks.weights import block_of
from rpmask.randomized_masks.keep_probability import Histogram

OUTSTANDING = 5.0  # times the mean importance; the paper searches 3 to 10
SPREAD = 0.08  # lambda of the paper


def outlier_densities(
    names: Sequence[str], histograms: Mapping[str, Histogram], density: float
) -> Floats:
    """The density of each tensor, (names,); their mean over all weights is `density`."""
    blocks = [block_of(name) for name in names]
    parts = {
        block: [histograms[name] for name, own in zip(names, blocks, strict=True) if own == block]
        for block in dict.fromkeys(blocks)
    }
    shares = np.array([_outliers(part) for part in parts.values()])
    sizes = np.array([sum(one.positive + one.zeros for one in part) for part in parts.values()])
    span = float(np.ptp(shares))
    offsets = 2 * SPREAD * (shares - shares.min()) / span if span else np.zeros_like(shares)
    offsets -= float((offsets * sizes).sum()) / float(sizes.sum())
    by_block = dict(zip(parts, np.clip(density + offsets, 0.0, 1.0), strict=True))
    return np.array([by_block[block] for block in blocks])


def _outliers(part: Sequence[Histogram]) -> float:
    """The share of outliers among the weights of a block."""
    logs = np.concatenate([histogram.log_centres for histogram in part])
    counts = np.concatenate([histogram.counts for histogram in part]).astype(np.float64)
    total = counts.sum() + sum(histogram.zeros for histogram in part)
    if not counts.size:
        return 0.0
    top = float(logs.max())  # so that no exponential is too large
    mean = float((counts * np.exp(logs - top)).sum()) / total
    return float(counts[logs - top > np.log(OUTSTANDING * mean)].sum()) / total
