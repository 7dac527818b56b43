"""The chart of `bench`: one panel per shape, one bar per runtime, the largest gain in the description."""

from __future__ import annotations

from rpmask.charts import bench
from rpmask.deploy.bench import BenchRow


def row(runtime: str, batch: int, ms: float, dense: float) -> BenchRow:
    return BenchRow(runtime, batch, 32, ms, 1.5 * ms, dense / ms, 0.0, 0.0, 5)


ROWS = (
    row("dense fp32", 1, 10.0, 10.0),
    row("csr", 1, 2.5, 10.0),
    row("dense fp32", 8, 4000.0, 4000.0),
    row("csr", 8, 3200.0, 4000.0),
)


def test_one_panel_per_shape_and_one_bar_per_runtime() -> None:
    figure = bench(ROWS, "bench of $demo$")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "batch 1, 32 tokens",
        "batch 8, 32 tokens",
    ]
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == ["dense fp32", "csr"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [10.0, 2.5]
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["10 ms", "2.5 ms, 4.00x", "4,000 ms", "3,200 ms, 1.25x"]
