"""`predict`: answer rows in their order as they come, and measure the answers if the rows have labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rpmask.deploy.exported import BATCH_SIZE
from rpmask.deploy.load import load
from rpmask.deploy.manifest import Manifest
from rpmask.errors import RpmaskError
from rpmask.heads.continuation import NEW_TOKENS
from rpmask.heads.registry import head_of
from rpmask.steps.context import Context
from rpmask.steps.input_rows import read_rows
from rpmask.steps.resolve import version_record
from rpmask.tasks.registry import KNOWN_SPECS, known_name
from rpmask.tasks.spec import TaskSpec

NO_LABEL = ("", "-1")  # as in test files without labels


def predict(
    source: str,
    lines: Iterable[str],
    name: str,
    context: Context,
    batch_size: int = BATCH_SIZE,
    summarise: Callable[[str], None] | None = None,
    new_tokens: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the answers of an export, a model folder or a registered model to the lines of a file or stdin.

    A language model continues each text by `new_tokens`.
    If rows have a label, `summarise` receives the metrics as one line at the end.
    """
    from rpmask.tracking.registry import fetch, is_mlflow_address, reads_pairs

    if is_mlflow_address(source):
        context.require_store()
    folder = Path(fetch(context.tracker, source) if is_mlflow_address(source) else source)
    recorded = version_record(source, context)
    length = recorded.data.max_length if recorded else Manifest.max_length
    model = load(folder, max_length=length, pair=reads_pairs(folder))
    if new_tokens is not None and model.head.generate is None:
        raise RpmaskError(
            "--new-tokens is the length of a continuation, and this model does not continue texts.",
            "Leave it out.",
        )
    rows = read_rows(lines, name)
    task = model.manifest.task or (recorded.task if recorded else "")
    labelled = LabelledAnswers(model.manifest, task)
    while batch := list(islice(rows, batch_size)):
        answers = model.predict(
            [row for row, _ in batch], batch_size, NEW_TOKENS if new_tokens is None else new_tokens
        )
        for (_, label), answer in zip(batch, answers, strict=True):
            labelled.add(label, answer)
            yield answer
    if summarise is not None and (line := labelled.summary()):
        summarise(line)


class LabelledAnswers:
    """The labels of rows and a model's answers to them, for a summary at the end."""

    def __init__(self, manifest: Manifest, task: str) -> None:
        self._manifest, self._spec = manifest, _metrics_task(manifest, task)
        self._head = head_of(manifest)
        self._rows = 0
        self._wrong = ""
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def add(self, label: Any, answer: dict[str, Any]) -> None:
        """Add the label of one row, None if it has none, and its answer."""
        self._rows += 1
        names = (self._manifest.labels, self._spec.labels)
        if label is None or (
            str(label) in NO_LABEL and not any(str(label) in each for each in names)
        ):
            return
        try:
            reference, prediction = self._head.answers.labelled(
                label, answer, names, len(self._manifest.labels)
            )
        except (ValueError, TypeError):
            self._wrong = self._wrong or f"row {self._rows} has the label {label!r}"
            return
        self._references.append(reference)
        self._predictions.append(prediction)

    def summary(self) -> str:
        """Return the metrics as one line; empty if no row had a label."""
        if self._wrong:
            expected = self._head.answers.expected(self._manifest.labels)
            return f"No metrics: {self._wrong}, where {expected} is expected."
        if not self._references:
            return ""
        values = self._head.answers.report(self._spec, self._predictions, self._references)
        scored = len(self._references)
        rows = f"{scored:,}" if scored == self._rows else f"{scored:,} of {self._rows:,}"
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        return f"{shown} on {rows} rows, against their labels."


def _metrics_task(manifest: Manifest, task: str) -> TaskSpec:
    """Return the task whose metrics count: the model's own if it is known, else one that fits its answers."""
    known = KNOWN_SPECS.get(known_name(task))
    shape = (manifest.kind, len(manifest.labels))
    if known is not None and (known.kind, len(known.labels)) == shape:
        return known
    metrics = head_of(manifest).answers.metrics
    return TaskSpec(
        name=task or "predict",
        title="Rows with labels.",
        kind=manifest.kind,
        inputs=manifest.inputs,
        labels=manifest.labels,
        pair=bool(manifest.pair),
        metrics=metrics,
        primary=metrics[0],
    )
