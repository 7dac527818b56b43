"""The charts of a classifier's answers, with numbers that are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from chart_records import line, words
from scipy.special import softmax

from rpmask import charts
from rpmask.charts.class_answers import LINES, calibration_error

# Four rows of each class; the model takes one `no` for `yes`.
TARGETS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
LOGITS = np.array([[2, 0], [2, 0], [2, 0], [0, 1], [0, 2], [0, 2], [0, 2], [0, 2]], dtype=float)


def test_confusion_counts_the_labels_of_every_answer() -> None:
    figure = charts.confusion("demo, dev", ("no", "yes"), TARGETS, LOGITS)
    written = words(figure).splitlines()
    assert written.count("75.0") == written.count("25.0") == written.count("100.0") == 1
    assert "87.5% of 8 answers are right" in written
    assert "Most often, 1 times, no was answered as yes" in figure.get_label()


def test_confusion_of_many_classes_has_neither_names_nor_numbers() -> None:
    names = [f"class {index}" for index in range(50)]
    figure = charts.confusion("many", names, np.arange(50), np.eye(50))
    assert "class 7" not in words(figure)


def test_curves_of_two_classes_draw_the_second() -> None:
    figure = charts.curves("demo, dev", ("no", "yes"), TARGETS, LOGITS)
    roc, precision, calibration = figure.axes
    assert line(roc, "yes 1.000")[-1].tolist() == [1, 1]  # every `yes` is surer than the mistake
    assert line(precision, "yes 1.000")[0].tolist() == [1.0, 0.5]
    assert "'yes' against 'no'" in words(figure)
    error = calibration_error(TARGETS, softmax(LOGITS, axis=1))
    assert calibration.get_legend().get_texts()[0].get_text() == f"error {error:.3f}"


def test_calibration_error_by_hand() -> None:
    """Two answers with 0.95, both right; two with 0.75, one right: (0.05 + 0.25) / 2."""
    chances = np.array([[0.95, 0.05], [0.95, 0.05], [0.75, 0.25], [0.75, 0.25]])
    assert calibration_error(np.array([0, 0, 0, 1]), chances) == pytest.approx(0.15)


def test_of_many_classes_the_worst_are_drawn() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 9, 400)
    logits = random.normal(size=(400, 9))
    logits[np.arange(400), targets] += np.arange(9)[targets] / 2  # the first classes are hardest
    figure = charts.curves("many", [f"c{index}" for index in range(9)], targets, logits)
    drawn = [text.get_text().split()[0] for text in figure.axes[0].get_legend().get_texts()]
    assert len(drawn) == len(LINES)
    assert "c0" in drawn
    assert "c8" not in drawn


def test_rows_of_one_class_have_no_curves() -> None:
    figure = charts.curves("demo, dev", ("no", "yes"), np.zeros(3, dtype=int), LOGITS[:3])
    assert "all of one class" in words(figure)
