"""How a classifier errs: its confusion matrix, and its curves over the threshold and the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.special import softmax

from rpmask.charts import style
from rpmask.charts.heat_map import heat_map
from rpmask.words import percent

Array = npt.NDArray[Any]
NAMED = 40  # most classes whose names are written
DRAWN = 6  # most classes with a curve of their own
BINS = 10  # of confidence
LINES = [(line, hue) for line in ("-", "--") for hue in (style.BLUE, style.PURPLE, style.BROWN)]


@style.styled
def confusion(title: str, names: Sequence[str], targets: Array, logits: Array) -> Figure:
    """The shares of the answers that the rows of each label got."""
    from sklearn.metrics import confusion_matrix

    answers = logits.argmax(axis=1)
    counts = confusion_matrix(targets, answers, labels=range(len(names)))
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (labels, answers)
    subtitle = (
        f"{percent(float(np.mean(targets == answers)))} of {len(targets):,} answers are right"
    )
    wrong = counts - np.diag(np.diag(counts))
    label, answer = np.unravel_index(wrong.argmax(), wrong.shape)
    spoken = f"{title}. {subtitle}."
    if wrong.any():
        spoken += (
            f" Most often, {wrong.max():,} times, {names[label]} was answered as {names[answer]}."
        )
    figure = style.framed(min(1.2 + 0.3 * len(names), 8.0), title, subtitle, description=spoken)
    shown = [str(name)[:20] for name in names] if len(names) <= NAMED else [""] * len(names)
    axes = heat_map(
        figure, shares, Normalize(0, 100), rows=shown, unit="of the label's rows (%)", digits=1
    )
    axes.set(xlabel="answer", ylabel="label")
    axes.set_xticks(np.arange(len(names)) + 0.5, shown, rotation=45 if len(names) > 5 else 0)
    return figure


@style.styled
def curves(title: str, names: Sequence[str], targets: Array, logits: Array) -> Figure:
    """ROC and precision-recall curves, a class against the others, and accuracy by confidence.

    Of two classes the second one is drawn; of more than DRAWN those with the smallest areas.
    """
    from sklearn import metrics

    targets = targets.astype(int)
    chances = softmax(logits.astype(np.float64), axis=1)
    areas = {
        index: (
            float(metrics.roc_auc_score(targets == index, chances[:, index])),
            float(metrics.average_precision_score(targets == index, chances[:, index])),
        )
        for index in (range(len(names)) if len(names) > 2 else (1,))
        if 0 < np.sum(targets == index) < len(targets)
    }
    if not areas:
        return style.note(title, "The rows are all of one class.")
    error = calibration_error(targets, chances)
    lowest = sorted(areas, key=lambda index: areas[index])[:DRAWN]
    subtitle = (
        f"{'smallest areas of' if len(areas) > DRAWN else 'each of'} {len(areas)} classes against the others"
        if len(areas) > 1
        else f"'{names[lowest[0]]}' against '{names[1 - lowest[0]]}'"
    )
    spoken = "; ".join(
        f"{names[index]} {areas[index][0]:.3f} and {areas[index][1]:.3f}" for index in lowest
    )
    figure = style.framed(
        2.9,
        title,
        subtitle,
        description=f"{title}. Areas under ROC and precision-recall curves: {spoken}. "
        f"Expected calibration error {error:.3f}.",
    )
    left, middle, right = figure.subplots(1, 3)
    for (line, hue), index in zip(LINES, lowest, strict=False):
        own, chance = targets == index, chances[:, index]
        name = str(names[index])[:14]
        false, true, _ = metrics.roc_curve(own, chance)
        left.plot(false, true, line, color=hue, label=f"{name} {areas[index][0]:.3f}")
        precision, recall, _ = metrics.precision_recall_curve(own, chance)
        middle.plot(recall, precision, line, color=hue, label=f"{name} {areas[index][1]:.3f}")
    left.plot((0, 1), (0, 1), color=style.GREY, linewidth=1, linestyle=style.DOTTED)
    _dress(left, "ROC: area", "false positive rate", "true positive rate")
    _dress(middle, "Precision-recall: area", "recall", "precision")
    confidence, accuracy, _ = reliability(targets, chances)
    right.plot((0, 1), (0, 1), color=style.GREY, linewidth=1, linestyle=style.DOTTED)
    right.plot(confidence, accuracy, "o-", color=style.BLUE, label=f"error {error:.3f}")
    _dress(right, "Calibration", "confidence", "accuracy")
    return figure


def reliability(targets: Array, chances: Array) -> tuple[Array, Array, Array]:
    """Mean confidence, accuracy, and share of the answers of every bin of confidence that has any."""
    sure = chances.max(axis=1)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    right = (chances.argmax(axis=1) == targets).astype(np.float64)
    rows = [
        (sure[bins == one].mean(), right[bins == one].mean(), np.mean(bins == one))
        for one in np.unique(bins)
    ]
    confidence, accuracy, share = np.array(rows).T
    return confidence, accuracy, share


def calibration_error(targets: Array, chances: Array) -> float:
    """The mean distance of accuracy from confidence over the bins, weighted by their answers."""
    confidence, accuracy, share = reliability(targets, chances)
    return float(np.sum(share * np.abs(accuracy - confidence)))


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid()
    axes.legend(loc="best" if title.startswith("Precision") else "lower right")
