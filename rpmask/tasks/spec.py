"""What a task is, its rows as a reader returns them, and its splits.

Every source of a task (a known name, a folder, a user's files) is read into `TaskRows`. `TaskData` then has
the splits: `train` to learn from, `selection` to choose with, carved from the train rows, and `dev`, which
only the final report may read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class TaskSpec:
    """What to predict for one text, a pair of texts, or an image.

    `kind` and `inputs` name its head (`heads/registry.py`). `labels` are in the order of the class indices,
    and empty for a number; `primary` is the metric that decides.
    """

    name: str
    title: str
    kind: str
    labels: tuple[str, ...]
    pair: bool
    metrics: tuple[str, ...] = ("accuracy",)
    primary: str = "accuracy"
    inputs: str = "text"

    @property
    def outputs(self) -> int:
        """Width of the model's head: one logit per class, or one number for regression."""
        return len(self.labels) or 1


@dataclass(frozen=True)
class TaskRows:
    """A task's checked rows, before the selection split is carved from train.

    Every split has the columns `text`, `text_pair` (pairs only) or `image`, and `label`; or `tokens`, `tags`
    and `document`; or `question`, `context`, `answers`, `starts`, `id` and `document`. `row` is the example's
    position in the split it was read from, counted from 0.
    """

    spec: TaskSpec
    train: datasets.Dataset
    dev: dict[str, datasets.Dataset]
    source: str


@dataclass(frozen=True)
class TaskData:
    """A task's splits, their source, and the sha256 of the rows of each."""

    spec: TaskSpec
    train: datasets.Dataset
    selection: datasets.Dataset
    dev: dict[str, datasets.Dataset]
    source: str
    digests: dict[str, str]

    def split(self, name: str) -> datasets.Dataset:
        """The rows of a split, whose column `label` knows the names of its classes."""
        from datasets import ClassLabel

        rows = {"train": self.train, "selection": self.selection, **self.dev}[name]
        if self.spec.labels and "label" in rows.column_names:
            rows = rows.cast_column("label", ClassLabel(names=list(self.spec.labels)))
        return rows
