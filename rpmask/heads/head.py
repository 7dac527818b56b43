"""What a head is: how rows become a model's inputs, and what the model's outputs mean.

A unit is one thing that a model answers: the class of a row, or the tag of one word of a row. A race, its
evidence and its bootstrap are over examples, the rows: an example's loss is the mean over its units.

Modules of this folder import torch and transformers inside functions, so that a step that trains nothing
starts without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch

    from rpmask.heads.splits import Split

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Units:
    """The units of a batch. examples is the row of each; None if every row is one unit."""

    logits: torch.Tensor  # (units, classes)
    targets: torch.Tensor  # (units,)
    examples: torch.Tensor | None = None  # (units,)


class LogitTerms(Protocol):
    """How the logit term of a distillation compares (`Distillation` in `train/plan.py`)."""

    @property
    def temperature(self) -> float: ...
    @property
    def logit_loss(self) -> str: ...
    @property
    def regression_target(self) -> str: ...


@dataclass(frozen=True)
class Column:
    """A column of the table that a served model reads or answers: strings, numbers, or lists of them."""

    name: str
    type: str = "string"  # or "double"
    many: bool = False


class Inputs(Protocol):
    """How rows become the inputs of a model."""

    are_text: bool  # read with a tokenizer; else images, read with an image processor
    pipeline: str  # the class of transformers' pipeline that serves a registered model, if any does
    pipeline_task: str
    pipeline_answers: tuple[Column, ...]  # its columns, if they are the same for every model
    packages: tuple[str, ...]  # that serving needs besides torch and transformers

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """A split for training and evaluation. reader is the tokenizer or the image processor."""

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """A user's rows as a batch, without labels. `labels` is what `answer` needs to find the units of rows
        that have several.
        """

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """What a served export reads."""

    def pipeline_columns(self, pair: bool | None) -> tuple[Column, ...]:
        """What a registered model reads."""

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """The rows of a table with those columns."""


class Answers(Protocol):
    """What the outputs of a model mean.

    has_confidence: logits say how sure the model is, and one factor scales them before they are compared.
    keeps_logits: a split's logits fit into memory. If they do not, `score` takes the examples' losses as
    predictions, and `predicted` gives those. unit: what one answer is about, for messages. metrics: of a task
    that is not known.
    """

    has_confidence: bool
    keeps_logits: bool
    lower_is_better: bool
    unit: str
    metrics: tuple[str, ...]

    def config(self, spec: TaskSpec) -> dict[str, Any]:
        """What the configuration of a model with these answers says."""

    def is_config(self, config: Mapping[str, Any], spec: TaskSpec) -> bool:
        """Whether a config.json says that already."""

    def labels(self, config: Any) -> tuple[str, ...]:
        """The names of a model's classes, in the order of its logits; none if it answers numbers."""

    def units(self, outputs: Any, labels: torch.Tensor) -> Units:
        """The units in a model's outputs for a batch, whose `labels` are given."""

    def losses(self, units: Units) -> torch.Tensor:
        """The loss of every unit: (units,). A target that is not known counts as no loss."""

    def logit_term(self, student: Units, teacher: Units, terms: LogitTerms) -> torch.Tensor:
        """The mean distance of the units' answers from the teacher's."""

    def softened(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        """The answers with less confidence."""

    def drawn(self, logits: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """A target for each unit, drawn from the model's answer."""

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """Predictions and references, in the form that `score` compares.

        logits are those of all units, (units, classes), and examples their rows; labels are the rows' own.
        """

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The predictions of a model that always gives the best single answer."""

    def score(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The task's metrics."""

    def report(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The same metrics for a report."""

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The answer to each of a user's rows. marks are the batch's `labels`, labels the classes' names."""

    def expected(self, labels: Sequence[str]) -> str:
        """What a user's label should be, for a message."""

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """The reference and the prediction that a user's label and an answer mean; ValueError if none."""

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """What a served model answers."""


@dataclass(frozen=True)
class Head:
    """A head: the ending of its classes in transformers, its inputs and its answers.

    endings: other endings of such classes. pretrained: a model without this head cannot be given one.
    joins_rows: a row of a split is not a row of the data. generate: gives a model's answers where they take
    several passes (`heads/continuation.py`).
    """

    name: str
    architecture: str
    inputs: Inputs
    answers: Answers
    endings: tuple[str, ...] = ()
    pretrained: bool = False
    joins_rows: bool = False
    generate: Callable[..., Iterator[dict[str, Any]]] | None = None

    @property
    def auto_class(self) -> Any:
        """The class of transformers that builds such a model from its configuration."""
        import transformers

        return getattr(transformers, f"AutoModel{self.architecture}")

    def is_of(self, architectures: Iterable[str] | None) -> bool:
        """Whether a model's configuration names such an architecture."""
        endings = (self.architecture, *self.endings)
        plain = (str(name).removesuffix("Simple") for name in architectures or ())  # XLNet's
        return any(name.endswith(endings) for name in plain)
