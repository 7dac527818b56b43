"""How fast each runtime answers, compared with the dense model, for every input shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style

if TYPE_CHECKING:
    from rpmask.deploy.bench import BenchRow  # it imports torch


@style.styled
def bench(rows: Sequence[BenchRow], title: str) -> Figure:
    """A panel per input shape, a bar per runtime: the median in milliseconds, and the speed-up.

    The first runtime is the dense model.
    """
    shapes = list(dict.fromkeys((row.batch, row.tokens) for row in rows))
    fastest = max(rows, key=lambda row: row.speedup)
    spoken = (
        f"The largest gain is {fastest.runtime}'s, {fastest.speedup:.1f} times "
        f"{rows[0].runtime} at batch {fastest.batch} by {fastest.tokens} tokens."
    )
    runtimes = len({row.runtime for row in rows})
    figure = style.framed(
        1.5 + len(shapes) * (0.55 + 0.27 * runtimes),
        title,
        "median time of a batch; the line ends at the 95th percentile",
        description=f"{title}. {spoken}",
    )
    panels = figure.subplots(len(shapes), 1, squeeze=False)[:, 0]
    for panel, (batch, tokens) in zip(panels, shapes, strict=True):
        panel.set_title(f"batch {batch}, {tokens} tokens")
        _panel(
            panel,
            [row for row in rows if (row.batch, row.tokens) == (batch, tokens)],
            rows[0].runtime,
        )
    panels[-1].set_xlabel("milliseconds")
    return figure


def _panel(axes: Axes, rows: Sequence[BenchRow], reference: str) -> None:
    bars = axes.barh(
        [row.runtime for row in rows],
        [row.ms_median for row in rows],
        xerr=[[0.0] * len(rows), [max(row.ms_p95 - row.ms_median, 0.0) for row in rows]],
        color=[style.GREEN if row.runtime == reference else style.BLUE for row in rows],
        ecolor=style.GREY,
        height=0.7,
    )
    axes.bar_label(bars, [_in_words(row, row.runtime == reference) for row in rows], padding=4)
    axes.margins(x=0.25)
    axes.grid(axis="x")
    axes.invert_yaxis()


def _in_words(row: BenchRow, dense: bool) -> str:
    shown = f"{row.ms_median:,.0f}" if row.ms_median >= 100 else f"{row.ms_median:.3g}"
    return f"{shown} ms" if dense else f"{shown} ms, {row.speedup:.2f}x"
