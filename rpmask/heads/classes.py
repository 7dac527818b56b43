"""What heads share whose answers are classes: configuration, losses, draws, and the index of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.heads.head import LogitTerms, Units
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch

UNKNOWN = -100  # the target that PyTorch's cross-entropy ignores
UNKNOWN_UNIT = -1  # in the labels of a row with several units: one without a known target


class ClassAnswers:
    """The part of `Answers` that is the same where a unit's answer is a class."""

    has_confidence = True
    keeps_logits = True
    lower_is_better = False

    def config(self, spec: TaskSpec) -> dict[str, Any]:
        """The classes, by index and by name."""
        return {
            "num_labels": len(spec.labels),
            "id2label": dict(enumerate(spec.labels)),
            "label2id": {label: i for i, label in enumerate(spec.labels)},
        }

    def is_config(self, config: Mapping[str, Any], spec: TaskSpec) -> bool:
        """Whether the classes are the task's, in this order."""
        found = config.get("id2label") or {}
        return bool(found == {str(index): label for index, label in enumerate(spec.labels)})

    def labels(self, config: Any) -> tuple[str, ...]:
        """The classes' names, in the order of the logits."""
        return tuple(str(label) for _, label in sorted((config.id2label or {}).items()))

    def losses(self, units: Units) -> torch.Tensor:
        """Cross-entropy. A unit with the target UNKNOWN has no loss."""
        from torch.nn import functional as F

        return F.cross_entropy(units.logits.float(), units.targets, reduction="none")

    def logit_term(self, student: Units, teacher: Units, terms: LogitTerms) -> torch.Tensor:
        """The mean distance from the teacher's shares, both at the temperature of the terms.

        `cross-entropy` is a mean over units and classes, `divergence` over units.
        """
        from torch.nn import functional as F

        t = terms.temperature
        if terms.logit_loss == "cross-entropy":
            shares = F.softmax(teacher.logits.float() / t, dim=-1)  # (units, classes)
            return (t * t) * -(shares * F.log_softmax(student.logits.float() / t, dim=-1)).mean()
        return (t * t) * F.kl_div(
            F.log_softmax(student.logits.float() / t, dim=-1),
            F.log_softmax(teacher.logits.float() / t, dim=-1),
            reduction="batchmean",
            log_target=True,
        )

    def softened(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        """Divided by the temperature."""
        return logits / temperature

    def drawn(self, logits: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """A class for each unit, drawn with the model's probabilities."""
        import torch

        outputs = logits.detach().float().cpu()
        below = outputs.softmax(-1).cumsum(-1).numpy()[:, :-1]  # (units, classes - 1)
        labels = (random.random((len(outputs), 1)) > below).sum(axis=1)
        return torch.from_numpy(labels).to(logits.device)


def index(label: Any, names: Sequence[Sequence[str]], outputs: int) -> int:
    """The index of a class that is given by one of its names or by its number."""
    for known in names:
        if str(label) in known:
            return list(known).index(str(label))
    number = int(label)
    if number != float(label) or not 0 <= number < outputs:
        raise ValueError(label)
    return number
