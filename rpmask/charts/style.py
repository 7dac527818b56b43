"""What every chart shares: the colours and what each stands for, the frame, a candidate's label.

A colour means the same thing in every chart. The hues are from the Okabe-Ito set, which readers
with any of the common colour-vision deficiencies can tell apart, and no distinction rests on hue
alone. Sizes are set for an image shown 800 px wide: nothing is smaller than 8 points there.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke

from rpmask.errors import RpmaskError
from rpmask.records import Candidate, Pool

BLACK = "#000000"  # the control
VERMILION = "#D55E00"  # what was chosen, or leads
BLUE = "#0072B2"  # everything else that finished
GREEN = "#009E73"  # the dense model
PURPLE = "#CC79A7"  # what failed
GREY = "#6B6B6B"  # what stopped early; 5.3:1 against white, so it also serves for text
PALE = "#D9D9D9"  # rules

# Darker twins of the hues, for words: at least 4.5:1 against white.
_INK = {VERMILION: "#B34F00", GREEN: "#007A59", PURPLE: "#9A4A78"}

# One hue, lightness alone carries the value: safe for any colour vision, and in grey print.
HEAT = LinearSegmentedColormap.from_list("rpmask_heat", ["#F3F8FC", "#7FB8DD", BLUE, "#002B45"])

WIDTH = 8.0  # inches: 800 px at the size the MLflow UI shows an image
DPI = 160  # twice that in pixels, near enough, for dense screens
SMALL, TEXT, TITLE = 8.0, 9.0, 11.0  # points
DOT = "\u00a0\u00a0·\u00a0\u00a0"  # between the parts of a subtitle
LINE = 0.165  # inches a line of SMALL text takes


def label(candidate: Candidate, index: int) -> str:
    """A candidate's name for people: `control`, or what draws it and its index in the pool."""
    if candidate.control:
        return "control"
    recipe = candidate.recipe
    words = [recipe.importance, _allocation(recipe.allocation)]
    if recipe.granularity != "weight":
        words.append(recipe.granularity)
    words.append(f"T={recipe.temperature:.2g}")
    if not recipe.deterministic:
        drawn = recipe.votes is not None
        words.append(f"m={recipe.votes}" if drawn else f"r={_short(recipe.sample_ratio)}")
    return " ".join([*words, f"#{index}"])


def name_in(pool: Pool, index: int) -> str:
    """The label of one of the pool's candidates."""
    return label(candidate_in(pool, index), index)


def candidate_in(pool: Pool, index: int) -> Candidate:
    """One of the pool's candidates, or a clear error where there is none of that index."""
    if not 0 <= index < len(pool.candidates):
        raise RpmaskError(
            f"There is no candidate {index} in a pool of {len(pool.candidates)}.",
            "The pool and the report must come from the same screening.",
        )
    return pool.candidates[index]


def signed(number: float, form: str) -> str:
    """A number as people write it: with a minus, not a hyphen."""
    return format(number, form).replace("-", "\u2212")


def level_name(task: str, level: int, sparsity: float) -> str:
    """Where in a pipeline a chart belongs, e.g. `rte, level 4, 93.75 % sparse`."""
    return f"{task}, level {level}, {percent(sparsity)} sparse"


def percent(fraction: float) -> str:
    """93.75 % for 0.9375: as many digits as the number has, at most four decimals."""
    return f"{round(100 * fraction, 4):g} %"


def framed(height: float, title: str, subtitle: str = "", *, description: str = "") -> Figure:
    """An empty figure with its heading; the axes get the room below it.

    The description, one or two sentences with the chart's main figures, is kept as the figure's
    label: an HTML page gives it to readers who cannot see the picture.
    """
    title_lines = textwrap.wrap(title, 80)
    subtitle_lines = _packed(subtitle.split(DOT), 118) if subtitle else []
    heading = 0.12 + 0.21 * len(title_lines) + LINE * len(subtitle_lines) + 0.08
    total = height + heading
    figure = Figure(figsize=(WIDTH, total), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine(
        "constrained", rect=(0, 0, 1, height / total), w_pad=0.09, h_pad=0.07, wspace=0.03
    )
    top = 1 - 0.1 / total
    below = top - (0.21 * len(title_lines) + 0.02) / total
    _write(figure, top, title_lines, fontsize=TITLE, weight="bold", color=BLACK)
    _write(figure, below, subtitle_lines, fontsize=TEXT, color=GREY)
    figure.set_label((description or title).replace(DOT, ", "))
    return figure


def note(title: str, sentence: str) -> Figure:
    """The chart that has nothing to draw says so, instead of an empty frame."""
    figure = framed(0.8, title, description=f"{title}. {sentence}")
    _write(figure, 0.5, textwrap.wrap(sentence, 110), fontsize=TEXT, color=GREY)
    return figure


def plain_axes(axes: Axes, *, x: str = "", y: str = "", grid: str = "") -> Axes:
    """Two thin spines, labels with units, and a faint grid along one axis where it helps."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(labelsize=SMALL, color=GREY, length=3, which="both")
    axes.set_xlabel(x, fontsize=TEXT)
    axes.set_ylabel(y, fontsize=TEXT)
    if grid:
        axes.grid(axis="x" if grid == "x" else "y", color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
    return axes


def heat_axes(axes: Axes) -> Axes:
    """Axes of a heat map: no spines, no ticks, first row at the top."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL)
    axes.invert_yaxis()
    return axes


def ink(colour: str) -> str:
    """The colour in which words about something drawn in `colour` are written."""
    return _INK.get(colour, colour)


def halo() -> list[AbstractPathEffect]:
    """A white rim that keeps words readable where a line runs behind them."""
    return [Stroke(linewidth=2.5, foreground="white"), Normal()]


def ink_on(strength: float) -> str:
    """Text colour that reads on the heat colour of a strength between 0 and 1."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in HEAT(strength)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where black and white have the same contrast by WCAG's formula.
    return BLACK if luminance > 0.179 else "white"


def colour_bar(figure: Figure, axes: Axes, mesh: QuadMesh, name: str) -> None:
    """The scale of a heat map, as tall as the map."""
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.02, 0, 0.02, 1)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.set_label(name, fontsize=TEXT)


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart to at least `gap`, as little as needed, in order, inside low..high.

    Neighbours that would touch form a block around their mean (isotonic regression on the
    positions less their ranks' gaps). Where all of them cannot fit, the gap shrinks.
    """
    if not positions:
        return []
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[tuple[float, int]] = []  # (sum of reduced positions, members)
    for rank, i in enumerate(order):
        total, members = positions[i] - rank * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / members:
            before, count = blocks.pop()
            total, members = total + before, members + count
        blocks.append((total, members))
    reduced = [total / members for total, members in blocks for _ in range(members)]
    ceiling = high - gap * (len(positions) - 1)
    moved = [0.0] * len(positions)
    for rank, i in enumerate(order):
        moved[i] = min(max(reduced[rank], low), ceiling) + rank * gap
    return moved


def finite(values: Iterable[float]) -> list[float]:
    """The values that can be drawn."""
    return [value for value in values if math.isfinite(value)]


def _write(figure: Figure, top: float, lines: Sequence[str], **look: Any) -> None:
    # A task may be called what it likes: a dollar sign in its name is no formula.
    figure.text(0.0125, top, "\n".join(lines), va="top", parse_math=False, **look)


def _packed(parts: Iterable[str], width: int) -> list[str]:
    """The parts of a subtitle on as few lines as hold them, broken between parts if possible."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(DOT) + len(part) <= width:
            lines[-1] += DOT + part
        else:
            lines += textwrap.wrap(part, width)
    return lines


def _allocation(blend: float) -> str:
    return {0.0: "uniform", 1.0: "global"}.get(blend, f"blend={blend:.2g}")


def _short(number: float) -> str:
    """1e-4 where Python writes 0.0001, and no zero in the exponent."""
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
