"""The words on a race chart: each line's name beside its end, moved apart where ends are close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpmask.charts import style

NUMBERS_ABREAST = 3


@dataclass(frozen=True)
class EndName:
    """A name in the column right of the axes.

    It stands beside its line's last loss; names of lines that end before the last step have none
    and fill the column from the top.
    """

    text: str
    loss: float | None
    colour: str
    bold: bool = False


@dataclass(frozen=True)
class Stop:
    """Where a candidate's line ends before the last step."""

    index: int
    step: int
    loss: float
    colour: str


def write_names(figure: Figure, axes: Axes, names: Sequence[EndName]) -> None:
    """Name each line beside its end; where names would overlap, a thin rule leads to the line."""
    # The names take their room before the layout is solved, and their heights after.
    texts = [
        axes.text(
            1.035,
            0.5,
            name.text,
            transform=axes.transAxes,
            color=style.ink(name.colour),
            fontsize=style.SMALL,
            weight="bold" if name.bold else "normal",
            va="center",
        )
        for name in names
    ]
    figure.draw_without_rendering()
    height = axes.get_window_extent().height
    gap = style.LINE * figure.dpi / height
    ends = [1.0 if name.loss is None else _fraction(axes, name.loss) for name in names]
    for text, name, end, at in zip(texts, names, ends, style.spread(ends, gap, 0, 1), strict=True):
        text.set_y(at)
        if name.loss is not None:
            axes.plot(
                [1.006, 1.016, 1.03],
                [end, at, at],
                transform=axes.transAxes,
                color=name.colour,
                linewidth=0.6,
                clip_on=False,
                label="_leader",
            )


def write_numbers(axes: Axes, stops: Sequence[Stop]) -> None:
    """Index beside the end of each line that stopped on the way, so its name can be looked up."""
    for step in {stop.step for stop in stops}:
        here = sorted((stop for stop in stops if stop.step == step), key=lambda x: x.loss)
        numbers = [f"#{stop.index}" for stop in here]
        if len(here) > NUMBERS_ABREAST:
            # Above the bundle, three to a line: beside it they would lie on one another.
            rows = [" ".join(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
            _write_number(axes, "\n".join(rows), step, _fraction(axes, here[-1].loss), above=True)
            continue
        ends = [_fraction(axes, stop.loss) for stop in here]
        for stop, text, at in zip(here, numbers, style.spread(ends, 0.045, 0, 1), strict=True):
            _write_number(axes, text, step, at, colour=stop.colour)


def _write_number(
    axes: Axes, text: str, step: int, at: float, *, colour: str = style.GREY, above: bool = False
) -> None:
    axes.annotate(
        text,
        (step, at),
        xycoords=axes.get_xaxis_transform(),
        xytext=(2, 7) if above else (6, 0),
        textcoords="offset points",
        fontsize=style.SMALL,
        color=style.ink(colour),
        va="bottom" if above else "center",
        path_effects=style.halo(),
        zorder=6,
    )


def _fraction(axes: Axes, loss: float) -> float:
    """A loss as a height between 0 (bottom of the axes) and 1."""
    display = axes.transData.transform((0.0, loss))
    return float(axes.transAxes.inverted().transform(display)[1])
