"""How fast each runtime answers, shape by shape, beside the dense model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style

if TYPE_CHECKING:
    from rpmask.deploy.bench import BenchRow


def bench(rows: Sequence[BenchRow], title: str) -> Figure:
    """One panel a shape of input, one bar a runtime: median milliseconds, and the speed-up in words."""
    shapes = list(dict.fromkeys((row.batch, row.tokens) for row in rows))
    runtimes = list(dict.fromkeys(row.runtime for row in rows))
    fastest = min(rows, key=lambda row: row.ms_median / _reference(rows, row).ms_median)
    spoken = (
        f"The largest gain is {fastest.runtime}'s, {fastest.speedup:.1f} times "
        f"{rows[0].runtime} at batch {fastest.batch} by {fastest.tokens} tokens."
    )
    height = 1.5 + len(shapes) * (0.55 + 0.27 * len(runtimes))
    figure = style.framed(
        height,
        title,
        "median time of a batch; the line ends at the 95th percentile",
        description=f"{title}. {spoken}",
    )
    panels = figure.subplots(len(shapes), 1, squeeze=False)[:, 0]
    for panel, (batch, tokens) in zip(panels, shapes, strict=True):
        here = [row for row in rows if (row.batch, row.tokens) == (batch, tokens)]
        _panel(panel, here, rows[0].runtime)
        panel.set_title(f"batch {batch}, {tokens} tokens", fontsize=style.TEXT, loc="left")
    panels[-1].set_xlabel("milliseconds", fontsize=style.TEXT)
    return figure


def _reference(rows: Sequence[BenchRow], row: BenchRow) -> BenchRow:
    """The first runtime on the same shape."""
    return next(other for other in rows if (other.batch, other.tokens) == (row.batch, row.tokens))


def _panel(axes: Axes, rows: Sequence[BenchRow], reference: str) -> None:
    style.plain_axes(axes, grid="x")
    for place, row in enumerate(rows):
        dense = row.runtime == reference
        axes.barh(place, row.ms_median, color=style.GREEN if dense else style.BLUE, height=0.7)
        axes.plot([row.ms_median, row.ms_p95], [place, place], color=style.GREY, linewidth=1)
        shown = f"{row.ms_median:,.0f}" if row.ms_median >= 100 else f"{row.ms_median:.3g}"
        words = f"{shown} ms" + ("" if dense else f", {row.speedup:.2f}x")
        axes.annotate(
            words,
            (max(row.ms_median, row.ms_p95), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
        )
    axes.set_yticks(range(len(rows)), [row.runtime for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(max(row.ms_median, row.ms_p95) for row in rows))
