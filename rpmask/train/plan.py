"""How a model is trained: the numbers, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record

SCHEDULES = ("linear", "constant")
LOGIT_LOSSES = ("divergence", "cross-entropy")
ATTENTION_MEANS = ("real", "full-length")
REGRESSION_TARGETS = ("teacher", "labels")


@dataclass(frozen=True)
class Distillation(Record):
    """The weight of each term; zero leaves it out. layer_map names a teacher layer per student's.

    The last three say how a term is computed (`train/distill.py`). logit_loss: `divergence`, a mean over the
    batch, or `cross-entropy`, a mean over batch and classes. attention_mean: over the cells between `real`
    tokens, or over the rows of maps of `full-length`. regression_target: what a regression's logit term
    learns, the answer of the `teacher` or the `labels`.
    """

    labels: float = 0.3
    logits: float = 0.7
    hidden: float = 1.0
    attention: float = 0.0
    temperature: float = 2.0
    layer_map: tuple[int, ...] = ()
    logit_loss: str = "divergence"
    attention_mean: str = "real"
    regression_target: str = "teacher"

    def check(self) -> None:
        """Refuse a term that cannot be computed."""
        for what, value, known in (
            ("logit loss", self.logit_loss, LOGIT_LOSSES),
            ("mean of attention maps", self.attention_mean, ATTENTION_MEANS),
            ("target of a regression", self.regression_target, REGRESSION_TARGETS),
        ):
            one_of(what, value, known)

    @property
    def needs_teacher(self) -> bool:
        """Whether any term looks at the teacher."""
        return max(self.logits, self.hidden, self.attention) > 0

    @property
    def outputs(self) -> dict[str, bool]:
        """What a network is asked for beside its logits."""
        return {
            "output_hidden_states": self.hidden > 0,
            "output_attentions": self.attention > 0,
        }


LABELS_ONLY = Distillation(labels=1.0, logits=0.0, hidden=0.0)


@dataclass(frozen=True)
class TrainPlan(Record):
    """How a model is trained. extra are arguments of transformers.TrainingArguments by name.

    dropout is every dropout rate of the model while it trains; None leaves what its configuration says.
    A model that lost nearly all its weights is short of capacity, and learns hidden states of a teacher
    that drops nothing. refit is the number of training rows on which the kept weights are refitted before
    the training begins (`train/refit.py`). freeze_embeddings leaves the tables of tokens, positions and
    segments as they are (`train/freeze.py`). None leaves either to the step that knows where a mask is from.
    augment is how many altered copies of each row are learnt as well, by the teacher's answers alone
    (`train/augment.py`); the steps stay those of the rows that there are.

    schedule is what the rate does after the warm-up: `linear`, down to zero, or `constant`. evaluate_every
    is in steps; 0 spreads `evaluations` over the training. A max_grad_norm of 0 clips nothing.
    """

    epochs: float = 6.0
    max_steps: int = -1
    learning_rate: float = 1.5e-4
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float | None = 0.0
    refit: int | None = None
    freeze_embeddings: bool | None = None
    augment: int = 0
    evaluations: int = 6
    patience: int = 0
    seed: int = 0
    threads: int = 1
    precision: str = "fp32"
    distill: Distillation = field(default_factory=Distillation)
    extra: dict[str, Any] = field(default_factory=dict)
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    evaluate_every: int = 0

    def check(self) -> None:
        """Refuse a training that cannot be carried out."""
        one_of("schedule", self.schedule, SCHEDULES)
        self.distill.check()


def one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not among the known ones."""
    if value not in known:
        raise RpmaskError(f"There is no {what} '{value}'.", f"Choose one of {', '.join(known)}.")
