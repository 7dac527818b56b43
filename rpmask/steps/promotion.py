"""Decide the champion: the better of two models at the same sparsity, else the sparser one that keeps enough.

The selection split decides. Dev is reported and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rpmask.results import FinetuneResult

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun
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
            or beats(result, reigning, _selection_of(tracker, reigning, result.primary), retain)
        )


def beats(
    result: FinetuneResult, reigning: Mapping[str, str], its_metric: float, retain: float
) -> bool:
    """Whether a model replaces the champion, whose metric on the selection split is `its_metric`.

    A sparser model must keep at least `retain` of the dense model's metric there; a denser one never wins.
    """
    sparsity = float(reigning.get("rpmask.sparsity", 0.0))
    if abs(result.sparsity - sparsity) < SAME_SPARSITY:
        return result.selection[result.primary] > its_metric
    return result.sparsity > sparsity and kept_on_selection(result) >= retain


def kept_on_selection(result: FinetuneResult) -> float:
    """Return the share of the dense model's metric that is kept on the selection split."""
    dense = result.dense_selection[result.primary]
    return result.selection[result.primary] / dense if dense else 0.0


def promote_again(run: StepRun, result: FinetuneResult, retain: float) -> bool:
    """Decide about a finished training again, since `retain` may have changed."""
    from rpmask.tracking.registry import CHAMPION, move_alias

    model: Mapping[str, Any] = run.result()["model"]
    with promotion(run.tracker, result, retain) as promoted:
        if promoted:
            move_alias(run.tracker, model["name"], model["version"], CHAMPION)
    return promoted


def _selection_of(tracker: Tracker, reigning: Mapping[str, str], primary: str) -> float:
    """Return the champion's metric on the selection split; older versions have a curve and no tag."""
    if SELECTION in reigning:
        return float(reigning[SELECTION])
    points = tracker.client.get_metric_history(reigning["rpmask.run"], f"selection/{primary}")
    return max((point.value for point in points), default=-math.inf)
