"""The race: what ranks the candidates, against the training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rpmask.charts import style
from rpmask.records import Pool, RacedCandidate, ScreenReport
from rpmask.words import MEASURED

# 4 colours and 7 markers: 28 candidates before a combination repeats.
COLOURS = (style.BLUE, style.PURPLE, style.GREY, style.BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P", "<")


@dataclass(frozen=True)
class _Curve:
    """The rungs of one candidate that can be drawn, and its name."""

    raced: RacedCandidate
    control: bool
    lead: str  # `winner` or `lowest` for the highlighted candidate, else empty
    steps: list[int]
    values: list[float]
    name: str


@style.styled
def race(report: ScreenReport, pool: Pool, *, winner: int | None = None) -> Figure:
    """Held-out loss, or distance from the dense model's outputs, at every rung of every candidate.

    Without a winner, the candidate with the lowest last value is highlighted.
    """
    highlighted = _lowest(report) if winner is None else winner
    word = "lowest" if winner is None else "winner"
    curves = [_curve(c, pool, word if c.index == highlighted else "") for c in report.candidates]
    place = style.level_name(report.task, report.level, report.sparsity)
    title = f"Race of {len(curves)} mask{'s' if len(curves) != 1 else ''}: {place}"
    drawn = [curve for curve in curves if curve.steps]
    if not drawn:
        failed = "; ".join(curve.name for curve in curves)
        return style.note(title, f"No candidate has a finite score: {failed}")
    summary, measured, last = _summary(report), _measured(report), _last_step(curves)
    ends = [
        f"{curve.name}: {curve.values[-1]:.4f}"
        for curve in drawn
        if curve.lead or curve.control or curve.raced.status == "finished"
    ]
    spoken = f"{title}. {summary}. Last {measured} of each candidate: {'; '.join(ends)}."
    height = max(3.9, style.LINE * (len(curves) + 3))
    figure = style.framed(height, title, summary, description=spoken)
    axes = figure.add_subplot(
        xlabel="training step", ylabel=measured, xlim=(0, 1.02 * max(1, last))
    )
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    _scale(axes, [value for curve in drawn for value in curve.values])
    _draw_twins(axes, report)
    # The legend lists finished candidates in the order of their curves at the right edge.
    for curve in sorted(curves, key=lambda curve: _end(curve, last), reverse=True):
        _draw(axes, curve)
    names = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    for text in names.get_texts():
        if any(curve.lead and curve.name == text.get_text() for curve in curves):
            text.set_fontweight("bold")
    return figure


def _lowest(report: ScreenReport) -> int | None:
    """The finished candidate with the lowest last value, if there are several."""
    ends = {
        raced.index: raced.rungs[-1].value
        for raced in report.candidates
        if raced.status == "finished" and raced.rungs and math.isfinite(raced.rungs[-1].value)
    }
    return min(ends, key=lambda index: ends[index]) if len(ends) > 1 else None


def _curve(raced: RacedCandidate, pool: Pool, lead: str) -> _Curve:
    rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
    name = style.name_in(pool, raced.index)
    if raced.status != "finished":
        name += f", {raced.status}" if rungs else f", {raced.status} at once"
    return _Curve(
        raced,
        pool.candidates[raced.index].control,
        lead,
        [rung.step for rung in rungs],
        [rung.value for rung in rungs],
        f"{name}, {lead}" if lead else name,
    )


def _last_step(curves: Sequence[_Curve]) -> int:
    return max(curve.steps[-1] for curve in curves if curve.steps)


def _end(curve: _Curve, last: int) -> float:
    """The value at the last step; infinite for a curve that ended before it."""
    return curve.values[-1] if curve.steps and curve.steps[-1] == last else math.inf


def _draw(axes: Axes, curve: _Curve) -> None:
    index, status = curve.raced.index, curve.raced.status
    colour = style.VERMILION if curve.lead else COLOURS[index % len(COLOURS)]
    if curve.control:
        colour = style.BLACK
    highlighted = bool(curve.lead) or curve.control
    axes.plot(
        curve.steps,
        curve.values,
        color=colour,
        alpha=1 if status == "finished" or highlighted else 0.6,
        linewidth=2.6 if curve.lead else 1.9 if curve.control else 1.2,
        linestyle=style.DASHED if curve.control else "-",
        marker=MARKERS[index % len(MARKERS)],
        markersize=6 if highlighted else 4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=curve.name,
        zorder=4 if curve.lead else 3,
    )
    if curve.steps and status == "failed":
        axes.plot(curve.steps[-1], curve.values[-1], "x", color=colour, ms=8, mew=2, zorder=5)


def _draw_twins(axes: Axes, report: ScreenReport) -> None:
    """The twins of the control, dotted: they differ from it only by the noise of training."""
    name = f"{len(report.twins)} twin{'s' if len(report.twins) > 1 else ''} of the control"
    for number, raced in enumerate(report.twins):
        rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
        axes.plot(
            [rung.step for rung in rungs],
            [rung.value for rung in rungs],
            color=style.BLACK,
            linewidth=1,
            linestyle=style.DOTTED,
            label=None if number else name,
            zorder=2,
        )


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Use a logarithmic axis where the first rungs would otherwise flatten the last ones."""
    low, high = min(values), max(values)
    if not (low > 0 and high > 3 * low):
        return
    axes.set_yscale("log")
    ticks = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high < 10 * low else (1, 2, 5)
    axes.yaxis.set_major_locator(LogLocator(subs=ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"{axes.get_ylabel()}, log scale")


def _summary(report: ScreenReport) -> str:
    states = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}
    found = [raced.status for raced in report.candidates]
    counts = ", ".join(f"{found.count(s)} {words}" for s, words in states.items() if s in found)
    spent = f"{report.steps_spent:,} of {report.steps_full:,} training steps spent"
    return f"{counts}; {spent}; means of {report.examples:,} examples"


def _measured(report: ScreenReport) -> str:
    kinds = {rung.kind for raced in report.candidates for rung in raced.rungs}
    return MEASURED["distance" if "distance" in kinds else "loss"]
