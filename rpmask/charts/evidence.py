"""The evidence: every finisher's paired difference to the control, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rpmask.charts import style
from rpmask.records import Pool, ScreenReport, Selection


@dataclass(frozen=True)
class _Row:
    """One candidate's difference to the control; the control itself is 0 by definition."""

    index: int
    mean: float
    low: float
    high: float
    control: bool = False


def effect(
    selection: Selection,
    report: ScreenReport,
    pool: Pool,
    paired: Mapping[int, tuple[float, float, float]],
) -> Figure:
    """Paired differences, largest at the top: the control's held-out loss minus the candidate's.

    Where twins of the control ran, a grey band is their spread, which the intervals hold.

    A distilled race may rank another one first: the losses are of the labels.

    `paired` holds (mean, low, high) of each candidate that finished, in the sign of
    `Selection.effect`: above zero the candidate is better than the control. The selection's own
    interval, which allows for the number compared, is drawn as a thin line where it differs.
    """
    rows = [
        _Row(index, mean, low, high)
        for index, (mean, low, high) in paired.items()
        if index != selection.control and math.isfinite(mean)
    ]
    rows.append(_Row(selection.control, 0.0, 0.0, 0.0, control=True))
    rows.sort(key=lambda row: row.mean)
    title, subtitle = _verdict(selection, pool), _subtitle(selection, report, rows)
    if len(rows) == 1:
        return style.note(title, "There is no difference to the control to draw.")
    figure = style.framed(
        0.3 * len(rows) + 1.0,
        title,
        subtitle,
        description=f"{title}. {subtitle}. Differences to the control: {_spoken(rows, pool)}.",
    )
    axes = style.plain_axes(
        figure.add_subplot(),
        x=f"held-out loss of the control{'' if selection.noise is None else ' and its twins'} minus the "
        "candidate's, on the same examples",
        grid="x",
    )
    if selection.noise is not None:
        axes.axvspan(-selection.noise, selection.noise, color=style.GREY, alpha=0.15, linewidth=0)
    axes.axvline(0, color=style.BLACK, linewidth=1.1, linestyle=(0, (4, 1.6)), label="control")
    for height, row in enumerate(rows):
        _draw(axes, height, row, selection)
    _limits(axes, rows, selection)
    _name_rows(axes, rows, selection, pool)
    return figure


def _draw(axes: Axes, height: int, row: _Row, selection: Selection) -> None:
    if row.control:
        axes.plot(0, height, marker="D", markersize=6, color=style.BLACK, linestyle="none")
        return
    chosen = row.index == selection.winner
    colour = style.VERMILION if chosen else style.BLUE
    if _own_interval(selection, row):
        axes.plot(selection.interval[:2], [height] * 2, color=colour, linewidth=1.0)
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [height] * 2, color=colour, linewidth=3.4 if chosen else 2.2)
    axes.plot(
        row.mean,
        height,
        marker="o",
        markersize=9 if chosen else 6.5,
        color=colour,
        markeredgecolor="white",
        linestyle="none",
        zorder=4,
    )


def _own_interval(selection: Selection, row: _Row) -> bool:
    """Whether the verdict rests on another interval than the one drawn for the best candidate."""
    own = style.finite(selection.interval)
    return (
        row.index == selection.best
        and len(own) == 2
        and not all(math.isclose(a, b) for a, b in zip(own, (row.low, row.high), strict=True))
    )


def _limits(axes: Axes, rows: list[_Row], selection: Selection) -> None:
    """Zero always in view, rows evenly spaced, and the two sides named at the top."""
    ends = style.finite(value for row in rows for value in (row.low, row.mean, row.high))
    if any(_own_interval(selection, row) for row in rows):
        ends += selection.interval
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 0.001
    # Room for the name of each side, even when every difference lies on the other one.
    reach = 0.25 * (high - low + 2 * pad)
    axes.set_xlim(min(low - pad, -reach), max(high + pad, reach))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    for text, offset, side in (("◂ worse", -7, "right"), ("better than the control ▸", 7, "left")):
        axes.annotate(
            text,
            (0, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(offset, 2),
            textcoords="offset points",
            ha=side,
            fontsize=style.SMALL,
            color=style.GREY,
        )


def _name_rows(axes: Axes, rows: list[_Row], selection: Selection, pool: Pool) -> None:
    names = [
        style.name_in(pool, row.index) + (", winner" if row.index == selection.winner else "")
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names)
    for height, row in enumerate(rows):
        if not row.control:
            axes.annotate(
                style.signed(row.mean, "+.4f"),
                (1, height),
                xycoords=axes.get_yaxis_transform(),
                xytext=(5, 0),
                textcoords="offset points",
                fontsize=style.SMALL,
                va="center",
            )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.index == selection.winner:
            text.set_fontweight("bold")
            text.set_color(style.ink(style.BLACK if row.control else style.VERMILION))


def _verdict(selection: Selection, pool: Pool) -> str:
    best = style.name_in(pool, selection.best)
    interval = style.finite(selection.interval)
    shown = (
        f" [{style.signed(interval[0], '.3g')},\u00a0{style.signed(interval[1], '.3g')}]"
        if len(interval) == 2
        else ""
    )
    if selection.best == selection.control or not math.isfinite(selection.effect):
        sentence = "No other mask finished the race: the control is kept"
        return sentence if selection.verdict == "no-evidence" else f"{selection.verdict}: {best}"
    amount = style.signed(selection.effect, ".3g") + shown
    return {
        "better": f"Better: {best} beats the control by {amount}",
        "worse": f"Worse: the best other mask, {best}, loses to the control: {amount}",
    }.get(
        selection.verdict,
        f"No evidence that {best}, the best other mask, beats the control: {amount}",
    )


def _subtitle(selection: Selection, report: ScreenReport, rows: list[_Row]) -> str:
    parts = [
        style.level_name(selection.task, selection.level, selection.sparsity),
        f"{style.percent(selection.confidence)} paired intervals",
        f"{report.examples:,} held-out examples",
    ]
    if any(_own_interval(selection, row) for row in rows):
        parts.append(f"thin: corrected for {selection.compared} comparisons")
    if selection.noise is not None:
        parts.append(
            f"grey: noise of training, ±{selection.noise:.3g} between {selection.twins} twins"
        )
    if selection.shrunk is not None:
        parts.append(
            f"of the best one's effect about {style.signed(selection.shrunk, '.3g')} may last"
        )
    shown = {row.index for row in rows}
    missing = [f"#{raced.index}" for raced in report.candidates if raced.index not in shown]
    if missing:
        parts.append(f"stopped or failed: {', '.join(missing)}")
    return style.DOT.join(parts)


def _spoken(rows: list[_Row], pool: Pool) -> str:
    differences = [
        f"{style.name_in(pool, row.index)} {row.mean:+.4f} ({row.low:+.4f} to {row.high:+.4f})"
        for row in reversed(rows)
        if not row.control
    ]
    return "; ".join(differences) or "none"
