"""The evidence: how much lower each finished candidate's loss is than the control's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rpmask.charts import style
from rpmask.records import Pool, ScreenReport, Selection
from rpmask.words import percent

Difference = tuple[float, float, float]  # mean, and the ends of its interval


@style.styled
def effect(
    selection: Selection, report: ScreenReport, pool: Pool, paired: Mapping[int, Difference]
) -> Figure:
    """The control's held-out loss minus each candidate's, with its interval, the best at the top.

    `paired` holds the difference of every candidate that finished. The interval the verdict rests on is
    corrected for the number of comparisons and drawn as a thin line. A grey band shows the noise of
    training, estimated from twins of the control. A distilled race ranks by another value than this
    loss, so its winner need not be at the top.
    """
    known = {index: paired[index] for index in paired if math.isfinite(paired[index][0])}
    known[selection.control] = (0.0, 0.0, 0.0)
    rows = sorted(known, key=lambda index: known[index][0])  # from the bottom to the top
    title, subtitle = _verdict(selection, pool), _subtitle(selection, report, rows)
    if len(rows) == 1:
        return style.note(title, "No candidate can be compared with the control.")
    spoken = "; ".join(
        f"{style.name_in(pool, index)} {mean:+.4f} ({low:+.4f} to {high:+.4f})"
        for index in reversed(rows)
        for mean, low, high in [known[index]]
        if index != selection.control
    )
    figure = style.framed(
        0.3 * len(rows) + 1.15,
        title,
        subtitle,
        description=f"{title}. {subtitle}. Differences from the control: {spoken}.",
    )
    control = "control" if selection.noise is None else "control and its twins"
    axes = figure.add_subplot(
        xlabel=f"held-out loss of the {control} minus the candidate's\n"
        "(above 0: better than the control)"
    )
    axes.grid(axis="x")
    if selection.noise is not None:
        name = f"noise of training, ±{selection.noise:.3g} between {selection.twins} twins"
        span = (-selection.noise, selection.noise)
        axes.axvspan(*span, color=style.GREY, alpha=0.15, linewidth=0, label=name)
    axes.axvline(0, color=style.BLACK, linewidth=1.1, linestyle=style.DASHED, label="control")
    for height, index in enumerate(rows):
        if index != selection.control:
            _draw(axes, height, known[index], index, selection)
    style.legend(axes)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    means = ["" if index == selection.control else f"{known[index][0]:+.4f}" for index in rows]
    _name_rows(axes, rows, means, selection, pool)
    return figure


def _draw(
    axes: Axes, height: int, difference: Difference, index: int, selection: Selection
) -> None:
    mean, *interval = difference
    wins = index == selection.winner
    colour = style.VERMILION if wins else style.BLUE
    corrected = _corrected(selection)
    if index == selection.best and corrected and not np.allclose(corrected, interval):
        name = f"thin: corrected for {selection.compared} comparisons"
        axes.plot(corrected, [height] * 2, color=colour, linewidth=1, label=name)
    axes.plot(interval, [height] * 2, color=colour, linewidth=3.4 if wins else 2.2)
    axes.plot(mean, height, "o", ms=9 if wins else 6.5, color=colour, mec="white")


def _corrected(selection: Selection) -> tuple[float, ...]:
    """The interval the verdict rests on; empty without a comparison."""
    return selection.interval if all(map(math.isfinite, selection.interval)) else ()


def _name_rows(
    axes: Axes, rows: Sequence[int], means: Sequence[str], selection: Selection, pool: Pool
) -> None:
    """Names at the left, mean differences at the right."""
    names = [
        style.name_in(pool, index) + (", winner" if index == selection.winner else "")
        for index in rows
    ]
    for side, texts in ((axes, names), (axes.secondary_yaxis("right"), means)):
        side.set_yticks(range(len(rows)), texts)
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    if selection.winner in rows:
        axes.get_yticklabels()[rows.index(selection.winner)].set_fontweight("bold")


def _verdict(selection: Selection, pool: Pool) -> str:
    best = style.name_in(pool, selection.best)
    if selection.best == selection.control or not math.isfinite(selection.effect):
        if selection.verdict == "no-evidence":
            return "No other mask finished the race: the control is kept"
        return f"{selection.verdict}: {best}"
    amount = f"{selection.effect:.3g}"
    if corrected := _corrected(selection):
        amount += f" [{corrected[0]:.3g},\u00a0{corrected[1]:.3g}]"
    if selection.verdict == "better":
        return f"Better: {best} beats the control by {amount}"
    if selection.verdict == "worse":
        return f"Worse: the best other mask, {best}, loses to the control: {amount}"
    return f"No evidence that {best}, the best other mask, beats the control: {amount}"


def _subtitle(selection: Selection, report: ScreenReport, shown: Sequence[int]) -> str:
    parts = [
        style.level_name(selection.task, selection.level, selection.sparsity),
        f"{percent(selection.confidence)} paired intervals",
        f"{report.examples:,} held-out examples",
    ]
    if selection.shrunk is not None:
        parts.append(f"about {selection.shrunk:.3g} of the best mask's effect may last")
    missing = [f"#{raced.index}" for raced in report.candidates if raced.index not in shown]
    if missing:
        parts.append(f"stopped or failed: {', '.join(missing)}")
    return "; ".join(parts)
