"""Every trial of a study as one line through its hyperparameters to the loss it came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.charts.tuning import TrialValue

NUDGE = 0.04  # how far trials of one category lie apart, so that their lines can be told apart


@dataclass(frozen=True)
class _Axis:
    """One hyperparameter: where its values lie between 0 and 1, and what is written beside them."""

    name: str
    places: dict[Any, float]
    ticks: tuple[tuple[float, str], ...]
    category: bool


def parallel_coordinates(
    trials: Sequence[TrialValue], *, value_name: str = "held-out loss"
) -> Figure:
    """Hyperparameters from left to right, the loss last; dark lines ended lowest."""
    title = "Which hyperparameters led where"
    drawn = [trial for trial in trials if trial.drawable and trial.params]
    if len(drawn) < 2:
        return style.note(title, "Fewer than two trials have a value.")
    values = [trial.value or 0.0 for trial in drawn]
    low, high = min(values), max(values)
    best = min(drawn, key=lambda trial: trial.value or 0.0)
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in best.params.items())
    figure = style.framed(
        3.6,
        title,
        f"one line a trial; the lowest {value_name}, {low:.4f}, is drawn in red"
        f"{style.DOT}stopped trials end at their last value",
        description=f"{title}: {len(drawn)} trials, {value_name} {low:.4f} to {high:.4f}. "
        f"The lowest had {settings}.",
    )
    axes = [_axis(name, [trial.params[name] for trial in drawn]) for name in _names(drawn)]
    axes.append(_axis(value_name, values))
    plot = figure.add_subplot()
    plot.spines[:].set_visible(False)
    plot.set_yticks([])
    plot.set_xlim(-0.15, len(axes) - 0.65)
    plot.set_ylim(-0.06, 1.06)
    plot.set_xticks(range(len(axes)), [axis.name for axis in axes], fontsize=style.TEXT)
    plot.tick_params(length=0)
    scale = Normalize(low, high if high > low else low + 1)
    nudges = np.linspace(-NUDGE, NUDGE, len(drawn))
    for trial, nudge in sorted(
        zip(drawn, nudges, strict=True), key=lambda pair: -(pair[0].value or 0.0)
    ):
        row = [*trial.params.values(), trial.value]
        heights = [
            axis.places[value] + (nudge if axis.category else 0.0)
            for axis, value in zip(axes, row, strict=True)
        ]
        first = trial is best
        plot.plot(
            range(len(axes)),
            heights,
            color=style.VERMILION if first else style.HEAT(1 - 0.85 * float(scale(row[-1]))),
            linewidth=2.4 if first else 1.1,
            zorder=3 if first else 2,
        )
    for place, axis in enumerate(axes):
        plot.axvline(place, color=style.GREY, linewidth=0.8, zorder=1)
        for height, text in axis.ticks:
            plot.text(
                place + 0.03,
                height,
                text,
                fontsize=style.SMALL,
                va="center",
                zorder=4,
                path_effects=style.halo(),
            )
    return figure


def _names(trials: Sequence[TrialValue]) -> list[str]:
    """The hyperparameters in the order they were suggested, the same for every trial of a study."""
    return list(trials[0].params)


def _axis(name: str, values: Sequence[Any]) -> _Axis:
    known = sorted(set(values))
    numbers = all(isinstance(value, int | float) for value in known)
    if not numbers or len(known) <= 3:
        step = 1.0 / max(1, len(known) - 1)
        places = {value: i * step if len(known) > 1 else 0.5 for i, value in enumerate(known)}
        ticks = tuple((place, _shown(value)) for value, place in places.items())
        return _Axis(name, places, ticks, category=True)
    # Hyperparameters are searched on a logarithmic scale where they span one.
    wide = known[0] > 0 and known[-1] / known[0] >= 5
    raw: Mapping[Any, float] = {v: math.log(v) if wide else float(v) for v in known}
    low, high = raw[known[0]], raw[known[-1]]
    places = {value: (raw[value] - low) / (high - low) for value in known}
    middle = math.exp((low + high) / 2) if wide else (low + high) / 2
    ticks = ((0.0, _shown(known[0])), (0.5, _shown(middle)), (1.0, _shown(known[-1])))
    return _Axis(name, places, ticks, category=False)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
