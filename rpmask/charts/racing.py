"""The race: what ranks the candidates against training step, losers fading out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from rpmask.charts import style
from rpmask.charts.endnames import EndName, Stop, write_names, write_numbers
from rpmask.records import Pool, RacedCandidate, ScreenReport
from rpmask.words import MEASURED

FADE_PIECES = 60


@dataclass(frozen=True)
class _Lane:
    """One candidate's line: the rungs that can be drawn, and how to draw them."""

    index: int
    steps: tuple[int, ...]
    values: tuple[float, ...]
    status: str
    control: bool
    lead: bool
    caption: str

    @property
    def colour(self) -> str:
        if self.lead and not self.control:
            return style.VERMILION
        if self.control:
            return style.BLACK
        return {"failed": style.PURPLE, "stopped": style.GREY}.get(self.status, style.BLUE)


def race(
    report: ScreenReport,
    pool: Pool,
    *,
    winner: int | None = None,
) -> Figure:
    """What ranks them against step: held-out loss, or distance from the dense model's answers.

    Without a winner the lowest last one is brought forward.
    """
    lanes = _lanes(report, pool, winner)
    place = style.level_name(report.task, report.level, report.sparsity)
    title = f"Race of {len(lanes)} mask{'s' if len(lanes) != 1 else ''}: {place}"
    drawn = [lane for lane in lanes if lane.steps]
    if not drawn:
        return style.note(title, _nothing(lanes))
    figure = style.framed(
        max(3.9, style.LINE * (len(lanes) + 2) + 0.7),
        title,
        _standing(report),
        description=_description(title, report, drawn),
    )
    axes = style.plain_axes(
        figure.add_subplot(),
        x="training step",
        y=_measured(report),
        grid="y",
    )
    last = max(lane.steps[-1] for lane in drawn)
    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    _scale(axes, drawn)
    _draw_twins(axes, report)
    for lane in sorted(drawn, key=lambda lane: (lane.lead, lane.control, lane.status != "stopped")):
        _draw(axes, lane)
    # From the bottom up, so that names without a line of their own read in the pool's order.
    captions = [_caption(lane, last) for lane in reversed(lanes)]
    write_names(figure, axes, captions)
    stops = [
        Stop(lane.index, lane.steps[-1], lane.values[-1], lane.colour)
        for lane in drawn
        if lane.status != "finished"
    ]
    write_numbers(axes, stops)
    return figure


def _lanes(report: ScreenReport, pool: Pool, winner: int | None) -> list[_Lane]:
    lead, word = winner, "winner"
    if winner is None:
        ends = {
            raced.index: raced.rungs[-1].value
            for raced in report.candidates
            if raced.status == "finished" and raced.rungs and math.isfinite(raced.rungs[-1].value)
        }
        lead, word = min(ends, key=lambda index: ends[index], default=None), "lowest"
        word = word if len(ends) > 1 else ""
    return [_lane(raced, pool, lead, word) for raced in report.candidates]


def _lane(raced: RacedCandidate, pool: Pool, lead: int | None, word: str) -> _Lane:
    rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
    caption = style.name_in(pool, raced.index)
    if raced.status != "finished":
        caption += f", {raced.status}"
    if raced.index == lead and word:
        caption += f", {word}"
    return _Lane(
        index=raced.index,
        steps=tuple(rung.step for rung in rungs),
        values=tuple(rung.value for rung in rungs),
        status=raced.status,
        control=style.candidate_in(pool, raced.index).control,
        lead=raced.index == lead,
        caption=caption,
    )


def _scale(axes: Axes, lanes: list[_Lane]) -> None:
    """A log axis where the first rungs would otherwise press the last ones flat."""
    values = [value for lane in lanes for value in lane.values]
    low, high = min(values), max(values)
    if low > 0 and high > 3 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.06, high * 1.06)
        ticks = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high < 10 * low else (1, 2, 5)
        axes.yaxis.set_major_locator(LogLocator(subs=ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylabel(f"{axes.get_ylabel()}, log scale", fontsize=style.TEXT)
    else:
        pad = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
        axes.set_ylim(low - pad, high + pad)


def _draw(axes: Axes, lane: _Lane) -> None:
    width = 2.6 if lane.lead else 1.9 if lane.control else 1.2
    steps, values = np.array(lane.steps, dtype=float), np.array(lane.values)
    if lane.status == "stopped" and not lane.control:
        axes.add_collection(_fading(steps, values, lane.colour, axes.get_yscale() == "log"))
    else:
        axes.plot(
            steps,
            values,
            color=lane.colour,
            linewidth=width,
            linestyle=(0, (4, 1.6)) if lane.control else "-",
            marker="o" if lane.lead or lane.control or len(steps) == 1 else "",
            markersize=2.6 + width,
            markeredgecolor="white",
            markeredgewidth=0.6,
            clip_on=False,
            label=lane.caption,
            zorder=4 if lane.lead else 3,
        )
    if lane.status != "finished":
        axes.plot(
            steps[-1],
            values[-1],
            color=lane.colour,
            marker="X" if lane.status == "failed" else "o",
            markersize=7 if lane.status == "failed" else 4,
            markerfacecolor=lane.colour if lane.status == "failed" else "white",
            linestyle="none",
            clip_on=False,
            zorder=5,
        )


def _draw_twins(axes: Axes, report: ScreenReport) -> None:
    """The control's twins, thin: what lies between them is the noise of training."""
    for raced in report.twins:
        rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
        axes.plot(
            [rung.step for rung in rungs],
            [rung.value for rung in rungs],
            color=style.BLACK,
            linewidth=0.8,
            linestyle=(0, (1, 1.5)),
            alpha=0.7,
            zorder=2,
        )


def _fading(
    steps: NDArray[np.float64], values: NDArray[np.float64], colour: str, log: bool
) -> LineCollection:
    """A line that grows paler towards the step where it stopped, cut into short pieces."""
    along = np.linspace(steps[0], steps[-1], FADE_PIECES + 1)
    # Straight between rungs as the axis shows them, so on a log axis straight in log(loss).
    heights = np.interp(along, steps, np.log(values) if log else values)
    points = np.column_stack([along, np.exp(heights) if log else heights])  # (pieces + 1, 2)
    alphas = np.linspace(0.85, 0.2, FADE_PIECES)
    return LineCollection(
        [points[i : i + 2] for i in range(FADE_PIECES)],
        colors=[(*to_rgb(colour), alpha) for alpha in alphas],
        linewidths=1.2,
        zorder=2,
    )


def _caption(lane: _Lane, last: int) -> EndName:
    text = lane.caption if lane.steps else f"{lane.caption} at once"
    at_end = bool(lane.steps) and lane.steps[-1] == last
    return EndName(text, lane.values[-1] if at_end else None, lane.colour, lane.lead)


def _standing(report: ScreenReport) -> str:
    counts = [
        f"{number} {words}"
        for status, words in (
            ("finished", "finished"),
            ("stopped", "stopped early"),
            ("failed", "failed"),
        )
        if (number := sum(raced.status == status for raced in report.candidates))
    ]
    if report.twins:
        counts.append(f"dotted: {len(report.twins)} twins of the control")
    spent = f"{report.steps_spent:,} of {report.steps_full:,} training steps spent"
    return style.DOT.join([", ".join(counts), spent, f"means of {report.examples:,} examples"])


def _description(title: str, report: ScreenReport, lanes: list[_Lane]) -> str:
    ends = [
        f"{lane.caption}: {lane.values[-1]:.4f}"
        for lane in lanes
        if lane.lead or lane.control or lane.status == "finished"
    ]
    return (
        f"{title}. {_standing(report)}. At its last rung, {_measured(report)}: {'; '.join(ends)}."
    )


def _measured(report: ScreenReport) -> str:
    kinds = {rung.kind for raced in report.candidates for rung in raced.rungs}
    return MEASURED["distance" if "distance" in kinds else "loss"]


def _nothing(lanes: list[_Lane]) -> str:
    if not lanes:
        return "No candidate took part."
    return "No candidate has a finite score: " + "; ".join(lane.caption for lane in lanes)
