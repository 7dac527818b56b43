"""How a model's answers fare against the labels that rows came with."""

from __future__ import annotations

from typing import Any

import numpy as np

from rpmask.deploy.manifest import Manifest
from rpmask.tasks.registry import KNOWN_SPECS, known_name
from rpmask.tasks.spec import TaskSpec

NO_LABEL = ("", "-1")  # as test files without labels have it


class Labelled:
    """The labels of rows that have one and a model's answers to them, for a summary at the end."""

    def __init__(self, manifest: Manifest, task: str) -> None:
        self._manifest, self._spec = manifest, spec_of_model(manifest, task)
        self._rows = 0
        self._wrong = ""
        self._predictions: list[float] = []
        self._references: list[float] = []

    def add(self, label: Any, answer: dict[str, Any]) -> None:
        """One row's label, None where it has none, and its answer."""
        self._rows += 1
        names = (self._manifest.labels, self._spec.labels)
        if label is None or (
            str(label) in NO_LABEL and not any(str(label) in each for each in names)
        ):
            return
        try:
            if self._spec.kind == "regression":
                reference, prediction = float(label), float(answer["score"])
            else:
                reference = _index(label, *names, outputs=len(self._manifest.labels))
                prediction = _index(answer["label"], *names, outputs=len(self._manifest.labels))
        except (ValueError, TypeError):
            self._wrong = self._wrong or f"row {self._rows} has the label {label!r}"
            return
        self._references.append(reference)
        self._predictions.append(prediction)

    def summary(self) -> str:
        """The metrics in a line; empty if no row had a label."""
        if self._wrong:
            kinds = ", ".join(self._manifest.labels) or "a number"
            return f"No metrics: {self._wrong}, where {kinds} is expected."
        if not self._references:
            return ""
        from rpmask.tasks.evaluate_metrics import report_answers

        kind = np.float64 if self._spec.kind == "regression" else np.int64
        values = report_answers(
            self._spec,
            np.asarray(self._predictions, dtype=kind),
            np.asarray(self._references, dtype=kind),
        )
        scored = len(self._references)
        rows = f"{scored:,}" if scored == self._rows else f"{scored:,} of {self._rows:,}"
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        return f"{shown} on {rows} rows, against their labels."


def spec_of_model(manifest: Manifest, task: str) -> TaskSpec:
    """The task whose metrics count: the model's own if it is a known one, else what its answers allow."""
    known = KNOWN_SPECS.get(known_name(task))
    if known is not None and (known.kind, len(known.labels)) == (
        manifest.kind,
        len(manifest.labels),
    ):
        return known
    metrics = ("pearson", "spearmanr") if manifest.kind == "regression" else ("accuracy",)
    return TaskSpec(
        name=task or "predict",
        title="Rows with labels.",
        kind="regression" if manifest.kind == "regression" else "classification",
        labels=manifest.labels,
        pair=bool(manifest.pair),
        metrics=metrics,
        primary=metrics[0],
    )


def _index(label: Any, *names: tuple[str, ...], outputs: int) -> int:
    """A class by one of its names, or by its number."""
    for known in names:
        if str(label) in known:
            return known.index(str(label))
    number = int(label)
    if number != float(label) or not 0 <= number < outputs:
        raise ValueError(label)
    return number
