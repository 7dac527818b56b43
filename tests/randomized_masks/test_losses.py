"""The losses that a choice rests on are those that the race's record names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from charts.chart_records import raced, report_of

from rpmask.errors import RpmaskError
from rpmask.randomized_masks.losses import losses_digest, read_losses
from rpmask.records import ScreenReport

LOSSES = {0: np.arange(30.0), 1: np.arange(30.0) / 3}


def report(losses: dict[int, np.ndarray]) -> ScreenReport:
    """Of a race in which both went two rungs; a digest of each rung's losses."""
    found = []
    for index, last in losses.items():
        one = raced(index, [9.0, float(last.mean())])
        digests = (losses_digest(last + 1), losses_digest(last))
        rungs = tuple(
            replace(score, losses_digest=digest)
            for score, digest in zip(one.rungs, digests, strict=True)
        )
        found.append(replace(one, rungs=rungs))
    return report_of(*found)


def written(losses: dict[int, np.ndarray], folder: Path) -> Path:
    path = folder / "losses.safetensors"
    safetensors.numpy.save_file({f"candidate-{i}": array for i, array in losses.items()}, path)
    return path


def test_losses_are_those_of_the_last_rung(tmp_path: Path) -> None:
    found = read_losses(written(LOSSES, tmp_path), report(LOSSES))
    assert all(np.array_equal(found[i], LOSSES[i]) for i in LOSSES)


@pytest.mark.parametrize(
    "others",
    [
        {0: LOSSES[1], 1: LOSSES[0]},  # swapped
        {0: LOSSES[0], 1: LOSSES[1] + 1e-12},
        {0: LOSSES[0]},  # one is missing
        {0: LOSSES[0], 1: LOSSES[1].astype(np.float32)},
    ],
)
def test_others_are_refused(others: dict[int, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="are not those of the race") as raised:
        read_losses(written(others, tmp_path), report(LOSSES))
    assert "rpmask screen --force" in raised.value.hint


def test_a_record_without_digests_is_read(tmp_path: Path) -> None:
    """As the first races wrote it."""
    old = report_of(raced(0, [1.0]), raced(1, [1.0]))
    assert set(read_losses(written(LOSSES, tmp_path), old)) == {0, 1}
