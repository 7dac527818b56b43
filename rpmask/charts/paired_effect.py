"""The evidence: how much lower each finished candidate's loss is than the control's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rpmask.charts import style
from rpmask.records import Pool, ScreenReport, Selection


@dataclass(frozen=True)
class _Row:
    """The difference between the control and one candidate; the control's own is 0."""

    index: int
    mean: float
    low: float
    high: float


@style.styled
def effect(
    selection: Selection,
    report: ScreenReport,
    pool: Pool,
    paired: Mapping[int, tuple[float, float, float]],
) -> Figure:
    """The control's held-out loss minus each candidate's, with its interval, the best at the top.

    `paired` holds (mean, low, high) of every candidate that finished. The interval the verdict rests
    on is corrected for the number of comparisons and drawn as a thin line. A grey band shows the noise
    of training, estimated from twins of the control. A distilled race ranks by another value than this
    loss, so its winner need not be at the top.
    """
    rows = [
        _Row(index, mean, low, high)
        for index, (mean, low, high) in paired.items()
        if index != selection.control and math.isfinite(mean)
    ]
    title, subtitle = _verdict(selection, pool), _subtitle(selection, report, rows)
    if not rows:
        return style.note(title, "No candidate can be compared with the control.")
    differences = _in_words(sorted(rows, key=lambda row: -row.mean), pool)
    rows = sorted([*rows, _Row(selection.control, 0.0, 0.0, 0.0)], key=lambda row: row.mean)
    figure = style.framed(
        0.3 * len(rows) + 1.15,
        title,
        subtitle,
        description=f"{title}. {subtitle}. Differences from the control: {differences}.",
    )
    control = "control" if selection.noise is None else "control and its twins"
    axes = figure.add_subplot(
        xlabel=f"held-out loss of the {control} minus the candidate's\n"
        "(above 0: better than the control)"
    )
    axes.grid(axis="x")
    if selection.noise is not None:
        span = f"noise of training, ±{selection.noise:.3g} between {selection.twins} twins"
        axes.axvspan(
            -selection.noise, selection.noise, color=style.GREY, alpha=0.15, lw=0, label=span
        )
    axes.axvline(0, color=style.BLACK, linewidth=1.1, linestyle=style.DASHED, label="control")
    for height, row in enumerate(rows):
        _draw(axes, height, row, selection)
    style.legend(axes)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    _name_rows(axes, rows, selection, pool)
    return figure


def _draw(axes: Axes, height: int, row: _Row, selection: Selection) -> None:
    if row.index == selection.control:
        axes.plot(0, height, "D", markersize=6, color=style.BLACK)
        return
    chosen = row.index == selection.winner
    colour = style.VERMILION if chosen else style.BLUE
    if _is_corrected(selection, row):
        corrected = f"thin: corrected for {selection.compared} comparisons"
        axes.plot(selection.interval[:2], [height] * 2, color=colour, linewidth=1, label=corrected)
    axes.plot(
        style.finite([row.low, row.high]),
        [height] * len(style.finite([row.low, row.high])),
        color=colour,
        linewidth=3.4 if chosen else 2.2,
    )
    axes.plot(
        row.mean,
        height,
        "o",
        markersize=9 if chosen else 6.5,
        color=colour,
        markeredgecolor="white",
    )


def _is_corrected(selection: Selection, row: _Row) -> bool:
    """Whether the verdict on this row rests on another interval than the row's own."""
    corrected = style.finite(selection.interval)
    return (
        row.index == selection.best
        and len(corrected) == 2
        and not all(math.isclose(a, b) for a, b in zip(corrected, (row.low, row.high), strict=True))
    )


def _name_rows(axes: Axes, rows: Sequence[_Row], selection: Selection, pool: Pool) -> None:
    """Names at the left, differences at the right."""
    names = [
        style.name_in(pool, row.index) + (", winner" if row.index == selection.winner else "")
        for row in rows
    ]
    numbers = [
        "" if row.index == selection.control else style.signed(row.mean, "+.4f") for row in rows
    ]
    right = axes.secondary_yaxis("right")
    for side, texts in ((axes, names), (right, numbers)):
        side.set_yticks(range(len(rows)), texts)
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.index == selection.winner:
            text.set_fontweight("bold")


def _verdict(selection: Selection, pool: Pool) -> str:
    best = style.name_in(pool, selection.best)
    if selection.best == selection.control or not math.isfinite(selection.effect):
        if selection.verdict == "no-evidence":
            return "No other mask finished the race: the control is kept"
        return f"{selection.verdict}: {best}"
    amount = style.signed(selection.effect, ".3g")
    interval = [style.signed(end, ".3g") for end in style.finite(selection.interval)]
    if len(interval) == 2:
        amount += f" [{interval[0]},\u00a0{interval[1]}]"
    if selection.verdict == "better":
        return f"Better: {best} beats the control by {amount}"
    if selection.verdict == "worse":
        return f"Worse: the best other mask, {best}, loses to the control: {amount}"
    return f"No evidence that {best}, the best other mask, beats the control: {amount}"


def _subtitle(selection: Selection, report: ScreenReport, rows: Sequence[_Row]) -> str:
    parts = [
        style.level_name(selection.task, selection.level, selection.sparsity),
        f"{style.percent(selection.confidence)} paired intervals",
        f"{report.examples:,} held-out examples",
    ]
    if selection.shrunk is not None:
        lasting = style.signed(selection.shrunk, ".3g")
        parts.append(f"about {lasting} of the best mask's effect may last")
    shown = {row.index for row in rows} | {selection.control}
    missing = [f"#{raced.index}" for raced in report.candidates if raced.index not in shown]
    if missing:
        parts.append(f"stopped or failed: {', '.join(missing)}")
    return "; ".join(parts)


def _in_words(rows: Sequence[_Row], pool: Pool) -> str:
    return "; ".join(
        f"{style.name_in(pool, row.index)} {row.mean:+.4f} ({row.low:+.4f} to {row.high:+.4f})"
        for row in rows
    )
