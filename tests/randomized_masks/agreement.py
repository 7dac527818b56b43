"""Whether two samples of masks can come from one distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Seeds are fixed, so a test either always passes or never; the bound says how odd is too odd.
ODD = 1e-3


def assert_same_distribution(
    found: NDArray[np.bool_], expected: NDArray[np.bool_], control: NDArray[np.bool_]
) -> None:
    """Inclusion frequencies by chi-square, overlap with the control by mean and by distribution.

    found, expected: (masks, weights) of as many masks; control: (weights,).
    """
    masks = found.shape[0]
    counts = np.stack([found.sum(axis=0), expected.sum(axis=0)])  # (2, weights)
    share = counts.mean(axis=0) / masks
    random = (share * masks > 8) & ((1 - share) * masks > 8)
    variance = 2 * masks * share[random] * (1 - share[random])
    z = (counts[0] - counts[1])[random] / np.sqrt(variance)
    assert random.sum() > 3, "nothing random to compare"
    assert stats.chi2.sf((z**2).sum(), random.sum()) > ODD, f"frequencies differ: sd {z.std():.3f}"
    # Where hardly anything is random the two must agree about what is.
    assert np.all(np.abs(counts[0] - counts[1])[~random] < 30)
    overlaps = [(sample & control).sum(axis=1).astype(float) for sample in (found, expected)]
    if np.ptp(np.concatenate(overlaps)) > 0:
        assert stats.ttest_ind(*overlaps).pvalue > ODD, f"overlap {[o.mean() for o in overlaps]}"
        assert stats.ks_2samp(*overlaps).pvalue > ODD
