"""The race: what ranks the candidates, against the training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rpmask.charts import style
from rpmask.records import Pool, RacedCandidate, ScreenReport
from rpmask.words import MEASURED

# 5 colours and 7 markers: 35 candidates before a combination repeats.
COLOURS = (style.BLUE, style.GREEN, style.PURPLE, style.GREY, style.BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P", "<")


@dataclass(frozen=True)
class _Curve:
    """The rungs of one candidate that can be drawn, and how to draw them."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    status: str
    control: bool
    leads: bool
    name: str
    colour: str
    marker: str


@style.styled
def race(report: ScreenReport, pool: Pool, *, winner: int | None = None) -> Figure:
    """Held-out loss, or distance from the dense model's outputs, at every rung of every candidate.

    Without a winner, the candidate with the lowest last value is highlighted.
    """
    curves = _curves(report, pool, winner)
    place = style.level_name(report.task, report.level, report.sparsity)
    title = f"Race of {len(curves)} mask{'s' if len(curves) != 1 else ''}: {place}"
    drawn = [curve for curve in curves if curve.steps]
    if not drawn:
        failed = "; ".join(curve.name for curve in curves)
        return style.note(title, f"No candidate has a finite score: {failed}")
    figure = style.framed(
        max(3.9, style.LINE * (len(curves) + 3)),
        title,
        _summary(report),
        description=_description(title, report, drawn),
    )
    axes = figure.add_subplot(xlabel="training step", ylabel=_measured(report))
    axes.grid(axis="y")
    axes.set_xlim(0, 1.02 * max(curve.steps[-1] for curve in drawn))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    _scale(axes, [value for curve in drawn for value in curve.values])
    _draw_twins(axes, report)
    for curve in _from_top_to_bottom(curves):
        _draw(axes, curve)
    names = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    for text in names.get_texts():
        if any(curve.leads and curve.name == text.get_text() for curve in curves):
            text.set_fontweight("bold")
    return figure


def _curves(report: ScreenReport, pool: Pool, winner: int | None) -> list[_Curve]:
    lead, word = winner, "winner"
    if winner is None:
        ends = {
            raced.index: raced.rungs[-1].value
            for raced in report.candidates
            if raced.status == "finished" and raced.rungs and math.isfinite(raced.rungs[-1].value)
        }
        lead = min(ends, key=lambda index: ends[index], default=None)
        word = "lowest" if len(ends) > 1 else ""
    looks = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    return [
        _curve(raced, pool, word if raced.index == lead else "", *look)
        for raced, look in zip(report.candidates, looks, strict=False)
    ]


def _curve(raced: RacedCandidate, pool: Pool, lead: str, colour: str, marker: str) -> _Curve:
    rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
    name = style.name_in(pool, raced.index)
    if raced.status != "finished":
        name += f", {raced.status}" if rungs else f", {raced.status} at once"
    control = style.candidate_in(pool, raced.index).control
    return _Curve(
        steps=tuple(rung.step for rung in rungs),
        values=tuple(rung.value for rung in rungs),
        status=raced.status,
        control=control,
        leads=bool(lead),
        name=f"{name}, {lead}" if lead else name,
        colour=style.BLACK if control else style.VERMILION if lead else colour,
        marker=marker,
    )


def _from_top_to_bottom(curves: Sequence[_Curve]) -> list[_Curve]:
    """Curves that ended early first, the others in the order of their last values, highest first.

    The legend then lists the finished candidates in the order of their curves at the right edge.
    """
    last = max(curve.steps[-1] for curve in curves if curve.steps)

    def height(curve: _Curve) -> float:
        return curve.values[-1] if curve.steps and curve.steps[-1] == last else math.inf

    return sorted(curves, key=height, reverse=True)


def _draw(axes: Axes, curve: _Curve) -> None:
    highlighted = curve.leads or curve.control
    axes.plot(
        curve.steps,
        curve.values,
        color=curve.colour,
        alpha=0.5 if curve.status != "finished" and not highlighted else 1,
        linewidth=2.6 if curve.leads else 1.9 if curve.control else 1.2,
        linestyle=style.DASHED if curve.control else "-",
        marker=curve.marker,
        markersize=6 if highlighted else 4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=curve.name,
        zorder=4 if curve.leads else 3,
    )
    if curve.steps and curve.status == "failed":
        axes.plot(curve.steps[-1], curve.values[-1], "x", color=curve.colour, ms=8, mew=2, zorder=5)


def _draw_twins(axes: Axes, report: ScreenReport) -> None:
    """The twins of the control, thin: they differ from it only by the noise of training."""
    count = len(report.twins)
    for number, raced in enumerate(report.twins):
        rungs = [rung for rung in raced.rungs if math.isfinite(rung.value)]
        axes.plot(
            [rung.step for rung in rungs],
            [rung.value for rung in rungs],
            color=style.BLACK,
            linewidth=1,
            linestyle=style.DOTTED,
            label=f"{count} twin{'s' if count > 1 else ''} of the control" if number == 0 else None,
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
    counts = {
        words: sum(raced.status == status for raced in report.candidates)
        for status, words in states.items()
    }
    shown = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    spent = f"{report.steps_spent:,} of {report.steps_full:,} training steps spent"
    return f"{shown}; {spent}; means of {report.examples:,} examples"


def _description(title: str, report: ScreenReport, curves: Sequence[_Curve]) -> str:
    ends = [
        f"{curve.name}: {curve.values[-1]:.4f}"
        for curve in curves
        if curve.leads or curve.control or curve.status == "finished"
    ]
    return f"{title}. {_summary(report)}. Last {_measured(report)} of each candidate: {'; '.join(ends)}."


def _measured(report: ScreenReport) -> str:
    kinds = {rung.kind for raced in report.candidates for rung in raced.rungs}
    return MEASURED["distance" if "distance" in kinds else "loss"]
