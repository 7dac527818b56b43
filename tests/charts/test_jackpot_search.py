"""The chart of a jackpot search shows its curve, its swaps and the mask that was kept."""

from __future__ import annotations

from dataclasses import replace

from chart_records import words

from rpmask import charts
from rpmask.records import TensorCount
from rpmask.results import JackpotResult, SearchEpoch

RESULT = JackpotResult(
    task="digits",
    model="digits",
    weights="digits",
    start="magnitude",
    level=1,
    sparsity=0.9,
    start_digest="a" * 64,
    mask_digest="b" * 64,
    weights_digest_before="c",
    weights_digest_after="c",
    dense={"accuracy": 0.99},
    start_metrics={"accuracy": 0.1},
    dev={"accuracy": 0.97},
    primary="accuracy",
    epochs=tuple(
        SearchEpoch(i, 10 * i, 1.0 / (i + 1), 2.0 / (i + 1), metric, swaps, 1.0 - 0.1 * i)
        for i, (metric, swaps) in enumerate([(0.1, 0), (0.9, 2000), (0.97, 500), (0.96, 20)])
    ),
    best_epoch=2,
    overlap=0.8,
    restriction="quartic",
    norm_statistics="frozen",
    tensors={"stages.0.layers.0.layer.0.weight": TensorCount(10, 100)},
)


def test_curve_swaps_and_overlap() -> None:
    figure = charts.search(RESULT)
    metric, swaps, overlap = figure.axes
    assert metric.lines[0].get_ydata().tolist() == [0.1, 0.9, 0.97, 0.96]
    assert [bar.get_height() for bar in swaps.patches] == [2000, 500, 20]
    assert overlap.lines[0].get_ydata().round().tolist() == [100, 90, 80, 70]
    assert "kept: 0.9700" in words(figure)
    assert "2,520 swaps" in figure.get_label()


def test_no_epoch_yet() -> None:
    figure = charts.search(replace(RESULT, epochs=RESULT.epochs[:1], best_epoch=0))
    assert "no finished epoch" in words(figure)


def test_density_of_what_was_found() -> None:
    figure = charts.found_density(RESULT)
    assert "jackpot from magnitude" in words(figure)
    assert "10 of 100 weights kept" in words(figure)
