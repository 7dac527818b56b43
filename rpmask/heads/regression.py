"""Head `regression`: a number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.heads.head import Array, Column, Head, LogitTerms, Units
from rpmask.heads.outputs import checked
from rpmask.heads.row_answers import RowAnswers
from rpmask.heads.texts import Texts
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


class Numbers(RowAnswers):
    """A row is one unit, and its answer a number, which has no confidence to scale or soften."""

    has_confidence = False
    keeps_logits = True
    lower_is_better = False
    metrics: tuple[str, ...] = ("pearson", "spearmanr")

    def config(self, spec: TaskSpec) -> dict[str, Any]:
        """One output."""
        return {"num_labels": 1, "problem_type": "regression"}

    def is_config(self, config: Mapping[str, Any], spec: TaskSpec) -> bool:
        """Whether the model has one output that is trained as a number."""
        single = len(config.get("id2label") or {}) == 1
        return single and config.get("problem_type") == "regression"

    def labels(self, config: Any) -> tuple[str, ...]:
        """None."""
        return ()

    def losses(self, units: Units) -> torch.Tensor:
        """Squared error. A target that is not a number is not known."""
        import torch
        from torch.nn import functional as F

        given, targets = units.logits.squeeze(-1).float(), units.targets.float()
        targets = torch.where(targets.isnan(), given.detach(), targets)
        return F.mse_loss(given, targets, reduction="none")

    def logit_term(self, student: Units, teacher: Units, terms: LogitTerms) -> torch.Tensor:
        """Squared error from the teacher's number, or from the label as the paper's public code has it."""
        from torch.nn import functional as F

        if terms.regression_target == "labels":
            return self.losses(student).mean()
        return F.mse_loss(student.logits.float(), teacher.logits.float())

    def softened(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        """As they are."""
        return logits

    def drawn(self, logits: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """The model's number plus standard noise."""
        import torch

        numbers = logits.detach().float().cpu().squeeze(-1).numpy()
        noise = random.standard_normal(len(numbers), dtype=np.float32)
        return torch.from_numpy(numbers + noise).to(logits.device)

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """The number of every row, and its own."""
        logits = np.asarray(logits).reshape(len(logits), -1)
        numbers = checked(spec, logits)[:, 0].astype(np.float64)
        return numbers, np.asarray(labels).astype(np.float64)

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The mean of the labels."""
        labels = np.asarray(labels)
        return np.full(len(labels), labels.mean())

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """`{score}`: the number."""
        yield from ({"score": float(value)} for value in logits[:, 0])

    def expected(self, labels: Sequence[str]) -> str:
        """A number."""
        return "a number"

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """Both numbers."""
        return float(label), float(answer["score"])

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """A score."""
        return (Column("score", "double"),)


REGRESSION = Head("regression", "ForSequenceClassification", Texts(), Numbers())
