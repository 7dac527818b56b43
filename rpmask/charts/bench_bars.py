"""How fast each runtime answers, compared with the dense model, for every input shape."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.deploy.bench import BenchRow


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
    axes.grid(axis="x")
    for place, row in enumerate(rows):
        dense = row.runtime == reference
        axes.barh(place, row.ms_median, color=style.GREEN if dense else style.BLUE, height=0.7)
        axes.plot([row.ms_median, row.ms_p95], [place, place], color=style.GREY, linewidth=1)
        shown = f"{row.ms_median:,.0f}" if row.ms_median >= 100 else f"{row.ms_median:.3g}"
        axes.annotate(
            f"{shown} ms" + ("" if dense else f", {row.speedup:.2f}x"),
            (max(row.ms_median, row.ms_p95), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(rows)), [row.runtime for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(max(row.ms_median, row.ms_p95) for row in rows))
