"""The shared style of all charts: colours, sizes, headings, legends, and names for candidates.

A colour means the same in every chart. The hues are from the Okabe-Ito set, which readers with common
colour-vision deficiencies can tell apart, and no distinction rests on hue alone. Sizes are chosen for
an image shown 800 px wide: no text is smaller than 8 points there.
"""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke

from rpmask.records import Candidate, Pool
from rpmask.words import ALLOCATION_WORDS, percent

BLACK = "#000000"  # the control
VERMILION = "#D55E00"  # the winner or the best
DARK_VERMILION = "#B34F00"  # the same in text: at least 4.5:1 against white
BLUE = "#0072B2"  # everything else; in a race, candidates are also purple, brown or grey
GREEN = "#009E73"  # the dense model
PURPLE = "#CC79A7"
BROWN = "#8C6D00"
GREY = "#6B6B6B"  # 5.3:1 against white, so it also serves for text
PALE = "#D9D9D9"  # grid lines

WIDTH = 8.0  # inches, 800 px where the MLflow UI shows an image
SMALL, TEXT, TITLE = 8.0, 9.0, 11.0  # points
LINE = 0.165  # inches that a line of small text takes
DASHED = (0, (4, 1.6))
DOTTED = (0, (1, 1.5))

# The decorator of every function that draws; outside of it matplotlib's settings are unchanged.
styled = rc_context(
    {
        "font.size": SMALL,
        "axes.labelsize": TEXT,
        "axes.titlesize": TEXT,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.axisbelow": True,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": BLACK,
        "ytick.labelcolor": BLACK,
        "grid.color": PALE,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        # Users name tasks, models and runtimes: a dollar sign there does not start a formula.
        "text.parse_math": False,
    }
)


def label(candidate: Candidate, index: int) -> str:
    """A candidate's name in charts: `control`, or its sampling parameters and its index in the pool."""
    if candidate.control:
        return "control"
    recipe = candidate.recipe
    allocation = ALLOCATION_WORDS.get(recipe.allocation)
    words = [recipe.importance, allocation or f"blend={recipe.allocation:.2g}"]
    if recipe.granularity != "weight":
        words.append(recipe.granularity)
    words.append(f"T={recipe.temperature:.2g}")
    if not recipe.deterministic:
        drawn = recipe.votes is not None
        words.append(f"m={recipe.votes}" if drawn else f"r={recipe.sample_ratio:.2g}")
    return " ".join([*words, f"#{index}"])


def name_in(pool: Pool, index: int) -> str:
    """The label of a candidate of the pool."""
    return label(pool.candidates[index], index)


def level_name(task: str, level: int, sparsity: float) -> str:
    """The level of a pipeline that a chart shows, e.g. `rte, level 4, 93.75% sparse`."""
    return f"{task}, level {level}, {percent(sparsity)} sparse"


def framed(height: float, title: str, subtitle: str = "", *, description: str = "") -> Figure:
    """An empty figure with a heading; axes are laid out in the `height` inches below it.

    The description, one or two sentences with the chart's main numbers, becomes the figure's label.
    An HTML page uses it as the alternative text of the image.
    """
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    return head(figure, height, title, subtitle, description=description)


def head(
    figure: Figure, height: float, title: str, subtitle: str = "", *, description: str = ""
) -> Figure:
    """Give a figure its width, its heading, its layout and its description."""
    title_lines, subtitle_lines = textwrap.wrap(title, 80), textwrap.wrap(subtitle, 120)
    heading = 0.1 + 0.21 * len(title_lines) + LINE * len(subtitle_lines) + 0.1
    total = height + heading
    figure.set_size_inches(WIDTH, total)
    figure.set_layout_engine(
        "constrained", rect=(0, 0, 1, height / total), w_pad=0.09, h_pad=0.07, wspace=0.03
    )
    top, below = 1 - 0.1 / total, 1 - (0.12 + 0.21 * len(title_lines)) / total
    left = 0.1 / WIDTH
    figure.text(left, top, "\n".join(title_lines), va="top", fontsize=TITLE, weight="bold")
    figure.text(left, below, "\n".join(subtitle_lines), va="top", fontsize=TEXT, color=GREY)
    figure.set_label(description or title)
    return figure


@styled
def note(title: str, sentence: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    return framed(0.2, title, sentence, description=f"{title}. {sentence}")


def legend(axes: Axes) -> None:
    """The legend of one chart, above its axes at the right."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0.2)


def number_at(axes: Axes, point: tuple[float, float], text: str, **place: Any) -> None:
    """A number next to the point it belongs to, readable on top of lines."""
    axes.annotate(
        text,
        point,
        textcoords="offset points",
        weight="bold",
        color=DARK_VERMILION,
        path_effects=halo(),
        **place,
    )


def halo() -> list[AbstractPathEffect]:
    """A white rim that keeps text readable where a line runs behind it."""
    return [Stroke(linewidth=2.5, foreground="white"), Normal()]
