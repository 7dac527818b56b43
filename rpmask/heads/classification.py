"""Head `classification`: one of several classes for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.heads import classes
from rpmask.heads.head import Array, Column, Head
from rpmask.heads.outputs import checked
from rpmask.heads.row_answers import RowAnswers
from rpmask.heads.texts import Texts
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


class Classes(RowAnswers, classes.ClassAnswers):
    """A row is one unit, and its answer a class."""

    metrics: tuple[str, ...] = ("accuracy",)

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """The likeliest class of every row, and its own."""
        return checked(spec, logits).argmax(axis=1), np.asarray(labels)

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The most frequent class."""
        most = np.bincount(np.asarray(labels), minlength=len(spec.labels)).argmax()
        return np.full(len(labels), most)

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """`{label, score}`: the likeliest class and its probability."""
        for row in logits.softmax(dim=-1):
            best = int(row.argmax())
            label = labels[best] if best < len(labels) else str(best)
            yield {"label": label, "score": float(row[best])}

    def expected(self, labels: Sequence[str]) -> str:
        """Their names."""
        return ", ".join(labels)

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """The indices of both classes."""
        return (
            classes.index(label, names, outputs),
            classes.index(answer["label"], names, outputs),
        )

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """A label, if the model names its classes, and a score."""
        scores = (Column("score", "double"),)
        return (Column("label"), *scores) if labels else scores


CLASSIFICATION = Head("classification", "ForSequenceClassification", Texts(), Classes())
