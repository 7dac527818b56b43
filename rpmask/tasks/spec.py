"""What a task is, and the data one was loaded with.

A `TaskSpec` is known before any file is opened: the labels in the order of their class indices and
the metrics that decide. A `TaskData` adds the splits: `train` to learn from, `selection` to choose
with, carved from the task's train rows, and `dev`, which only the final report may read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import datasets

Kind = Literal["classification", "regression"]
Inputs = Literal["text", "image"]


@dataclass(frozen=True)
class TaskSpec:
    """One text, a pair of them, or an image, and a class or a number to predict."""

    name: str
    title: str
    kind: Kind
    labels: tuple[str, ...]
    pair: bool
    metrics: tuple[str, ...]
    primary: str
    dev_splits: tuple[str, ...] = ("dev",)
    inputs: Inputs = "text"

    @property
    def outputs(self) -> int:
        """Width of the model's head: one logit a class, one number for regression."""
        return len(self.labels) or 1


@dataclass(frozen=True)
class TaskData:
    """A task's splits, where they came from, and a digest of each.

    Every split has the columns `text`, `text_pair` (pairs only) or `image`, `label` and `row`, the
    position of the example in the split it was read from, counted from 0. `digests` holds the sha256 of
    the rows of `train`, `selection` and each dev split.
    """

    spec: TaskSpec
    train: datasets.Dataset
    selection: datasets.Dataset
    dev: dict[str, datasets.Dataset]
    source: str
    digests: dict[str, str]
