"""Decide the champion: the better of two models at the same sparsity, else the sparser one that keeps enough.

The selection split decides. Dev is reported and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rpmask.direction import best_of, is_better, retention
from rpmask.results import FinetuneResult

if TYPE_CHECKING:
    from rpmask.tracking.tracker import Tracker

SAME_SPARSITY = 1e-6
SELECTION = "rpmask.selection-metric"  # tag of a version: its metric on the selection split


@contextmanager
def promotion(tracker: Tracker, result: FinetuneResult, retain: float) -> Iterator[bool]:
    """Yield whether a trained model becomes champion, while a lock keeps other trainings of its task out."""
    from rpmask.tracking.locks import hold_lock
    from rpmask.tracking.registry import champion
    from rpmask.tracking.server import identity

    with hold_lock(f"{identity(tracker.uri)}|champion|{result.task}"):
        reigning = champion(tracker, result.task) if result.mask_digest else None
        yield result.mask_digest is not None and (
            reigning is None
            # An interrupted attempt of this run promoted it.
            or reigning.get("rpmask.run") == result.run_id
            or beats(result, reigning, _selection_of(tracker, reigning, result), retain)
        )


def beats(
    result: FinetuneResult, reigning: Mapping[str, str], its_metric: float, retain: float
) -> bool:
    """Whether a model replaces the champion, whose metric on the selection split is `its_metric`.

    A sparser model must keep at least `retain` of the dense model's metric there; a denser one never wins.
    """
    sparsity = float(reigning.get("rpmask.sparsity", 0.0))
    ours, lower = result.selection[result.primary], result.lower_is_better
    if abs(result.sparsity - sparsity) < SAME_SPARSITY:
        return is_better(ours, its_metric, lower=lower)
    if result.sparsity < sparsity:
        return False
    return retention(ours, result.dense_selection[result.primary], lower=lower) >= retain


def _selection_of(tracker: Tracker, reigning: Mapping[str, str], result: FinetuneResult) -> float:
    """Return the champion's metric on the selection split; older versions have a curve and no tag."""
    if SELECTION in reigning:
        return float(reigning[SELECTION])
    curve = f"selection/{result.primary}"
    points = tracker.client.get_metric_history(reigning["rpmask.run"], curve)
    return best_of((point.value for point in points), lower=result.lower_is_better)
