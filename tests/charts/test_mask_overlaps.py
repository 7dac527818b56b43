"""Each pair of masks is shown once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from chart_records import pool_of, words

from rpmask import charts


def test_overlaps_write_each_pair_once() -> None:
    matrix = np.array([[1.0, 0.91, 0.82], [0.91, 1.0, 0.73], [0.82, 0.73, 1.0]])
    figure = charts.overlaps(matrix, pool_of(3))
    lines = words(figure).splitlines()
    assert [lines.count(shown) for shown in ("91.0", "82.0", "73.0", "100.0")] == [1, 1, 1, 0]
    assert {"#0", "#1", "#2", "control", "in common (%)"} <= set(lines)
    assert "73.00% to 91.00%" in str(figure.get_label())


def test_overlaps_leave_out_what_is_not_a_number() -> None:
    matrix = np.full((3, 3), 0.9)
    matrix[2, 0] = math.nan
    figure = charts.overlaps(matrix, pool_of(3))
    shown = figure.axes[0].collections[0].get_array()
    assert np.ma.compressed(shown).tolist() == pytest.approx([90, 90])
    assert "nan" not in words(figure)


@pytest.mark.parametrize("matrix", [np.ones((1, 1)), np.full((1, 1), math.nan)])
def test_overlaps_of_one_mask_are_a_sentence(matrix: np.ndarray) -> None:
    assert "not two masks to compare" in words(charts.overlaps(matrix, pool_of(1)))
