"""The selection split: carved from train, seeded, with the labels in train's proportions.

Masks, checkpoints and hyperparameters are chosen on it, so that dev is read once, by the report.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import Rows
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEFAULT_SHARE = 0.2
DEFAULT_LIMIT = 1000
QUANTILE_BINS = 10


def carve(
    rows: Rows, spec: TaskSpec, *, seed: int, selection_rows: int | None, train_rows: int | None
) -> tuple[Rows, Rows]:
    """Split train's rows into (train, selection), both in the order of their source.

    `selection_rows` defaults to a fifth of the rows, at most 1000; `train_rows` is the most rows
    that stay to train on.
    """
    import numpy as np

    total = len(rows)
    if selection_rows is None:
        selection_rows = max(1, min(int(DEFAULT_SHARE * total), DEFAULT_LIMIT))
    if not 1 <= selection_rows < total:
        raise RpmaskError(
            f"A selection split of {selection_rows} rows cannot be carved from {total} train rows.",
            "It needs at least one row and must leave one to train on.",
        )
    if train_rows is not None and train_rows < 1:
        raise RpmaskError(
            f"train_rows is {train_rows}; at least one row is needed to train on.",
            "Leave it out to train on all rows.",
        )
    strata = _strata(rows, spec)
    chosen = _draw(np.arange(total), strata, selection_rows, _generator(seed, "selection"))
    rest = np.setdiff1d(np.arange(total), chosen)
    if train_rows is not None and train_rows < len(rest):
        rest = _draw(rest, strata, train_rows, _generator(seed, "train"))
    return rows.take(rest.tolist()), rows.take(chosen.tolist())


def _generator(seed: int, purpose: str) -> np.random.Generator:
    import numpy as np

    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _strata(rows: Rows, spec: TaskSpec) -> npt.NDArray[np.int64]:
    """The stratum of each row: its class, or which tenth of the rows its value is among."""
    import numpy as np

    labels = np.asarray(rows.label)
    if spec.kind == "classification":
        return labels.astype(np.int64)
    edges = np.quantile(labels, np.linspace(0, 1, QUANTILE_BINS + 1)[1:-1])
    return np.searchsorted(edges, labels, side="right").astype(np.int64)


def _draw(
    pool: npt.NDArray[np.int64],
    strata: npt.NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Draw `count` rows of the pool in proportion to its strata, by largest remainders.

    Unlike scikit-learn's stratified split it takes a stratum of a single row, which stays behind
    unless its turn comes.
    """
    import numpy as np

    shuffled = generator.permutation(pool)
    groups = [shuffled[strata[shuffled] == stratum] for stratum in np.unique(strata[pool])]
    exact = np.array([len(group) * count / len(pool) for group in groups])
    quota = np.floor(exact).astype(np.int64)
    # A stable sort of the remainders gives ties to the lower stratum, the same on every machine.
    for stratum in np.argsort(quota - exact, kind="stable")[: count - int(quota.sum())]:
        quota[stratum] += 1
    taken = [group[:size] for group, size in zip(groups, quota, strict=True)]
    return np.sort(np.concatenate(taken))
