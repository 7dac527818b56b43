"""How a model is trained: the numbers, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.masks.granularity import at_sparsity, parse_granularity
from rpmask.settings import TRAINING, Checked, setting, settings_of
from rpmask.words import percent

SCHEDULES = ("linear", "constant")
LOGIT_LOSSES = ("divergence", "cross-entropy")
ATTENTION_MEANS = ("real", "full-length")
REGRESSION_TARGETS = ("teacher", "labels")
PRECISIONS = ("fp32", "bf16", "fp16")

# From REFIT_FROM on, the default is to refit the weights of a selected mask on REFIT_ROWS rows before they
# train. Below it a training recovers in fewer steps than a refit takes. Without a training, the refit is all
# there is.
REFIT_ROWS = 256
REFIT_ROWS_ALONE = 1024
REFIT_FROM = 0.9

TIGHTENING = (
    "tighten",
    "tighten_share",
    "tighten_cuts",
)  # fields that say nothing without the first


@dataclass(frozen=True)
class Distillation(Checked, panel=TRAINING):
    """The weight of each term of the loss (`train/distill.py`); zero leaves it out.

    layer_map: the teacher layer for each student layer; empty spaces them evenly.
    logit_loss: `divergence`, a mean over the batch, or `cross-entropy`, a mean over batch and classes.
    attention_mean: over the cells between `real` tokens, or over the rows of maps of `full-length`.
    regression_target: what the logit term of a regression learns, the `teacher`'s answer or the `labels`.
    """

    labels: float = setting(0.3, "Weight of the label loss", "--distill-labels", at_least=0)
    logits: float = setting(0.7, "Weight of the teacher's logits", "--distill-logits", at_least=0)
    hidden: float = setting(
        1.0, "Weight of the teacher's hidden states", "--distill-hidden", at_least=0
    )
    attention: float = setting(
        0.0, "Weight of the teacher's attention maps", "--distill-attention", at_least=0
    )
    temperature: float = setting(2.0, above=0)
    layer_map: tuple[int, ...] = ()
    logit_loss: str = setting("divergence", choices=LOGIT_LOSSES)
    attention_mean: str = setting("real", choices=ATTENTION_MEANS)
    regression_target: str = setting("teacher", choices=REGRESSION_TARGETS)

    def check(self) -> None:
        """Refuse a loss without a term, and a value outside its limits."""
        super().check()
        if not max(self.labels, self.logits, self.hidden, self.attention) > 0:
            raise RpmaskError(
                "Every term of the loss has the weight 0; there is nothing to learn from.",
                "Give --distill-labels, --distill-logits, --distill-hidden or --distill-attention a weight.",
            )

    @property
    def needs_teacher(self) -> bool:
        """Whether any term uses the teacher."""
        return max(self.logits, self.hidden, self.attention) > 0

    @property
    def outputs(self) -> dict[str, bool]:
        """Extra model outputs to request."""
        return {
            "output_hidden_states": self.hidden > 0,
            "output_attentions": self.attention > 0,
        }


LABELS_ONLY = Distillation(labels=1.0, logits=0.0, hidden=0.0)


@dataclass(frozen=True)
class TrainPlan(Checked, panel=TRAINING):
    """How a model is trained.

    warmup: the share of the steps over which the learning rate rises. A training that tightens its mask
    raises it until the last cut (`rising`).
    schedule: after the warm-up, the rate falls to zero (`linear`) or stays (`constant`).
    dropout: a model that lost nearly all its weights has little capacity, and the teacher whose hidden
    states it learns uses no dropout.
    refit, freeze_embeddings: None leaves the choice to the step, which knows where the mask comes from.
    tighten: the sparsity that cuts during the training reach, from that of the mask it begins with. The last
    weights are kept. Without a training, one cut during the refit reaches it.
    evaluate_every: steps between evaluations; 0 spreads `evaluations` over the training.
    max_grad_norm: where gradients are clipped; 0 clips nothing.
    """

    epochs: float = setting(
        6.0, "Epochs of training; in `run`, of the last level. 0 only refits", at_least=0
    )
    max_steps: int = -1
    learning_rate: float = setting(1.5e-4, "Peak learning rate", above=0)
    batch_size: int = setting(32, "Rows per step", at_least=1)
    warmup: float = 0.1
    weight_decay: float = setting(0.01, at_least=0)
    dropout: float | None = setting(
        0.0, "Dropout rate while pruned weights train", none="the model's own", at_least=0, below=1
    )
    refit: int | None = setting(
        None,
        "Rows on which least squares refits the kept weights before they train",
        none=f"{REFIT_ROWS} from {percent(REFIT_FROM)} sparsity and above, 0 after a jackpot; "
        f"{REFIT_ROWS_ALONE} with --epochs 0",
        at_least=0,
    )
    freeze_embeddings: bool | None = setting(
        None,
        "Whether token, position and segment embeddings stay fixed in training",
        "--freeze-embeddings/--train-embeddings",
        none="frozen, but trained for the demo and in dense models",
    )
    tighten: float | None = setting(
        None,
        "Sparsity that the mask is tightened to while its weights train or, with --epochs 0, are refitted",
        none="that of the mask",
        above=0,
        below=1,
    )
    tighten_share: float = setting(
        0.7, "Share of the training over which the mask is tightened", above=0, below=1
    )
    tighten_cuts: int = setting(10, "Number of cuts in which the mask is tightened", at_least=1)
    augment: int = setting(
        0,
        "Perturbed copies per row, labelled by the teacher; the number of steps stays the same",
        at_least=0,
    )
    evaluations: int = setting(
        6,
        "Evaluations on the selection split; the best weights are kept, the last if the mask is tightened",
        at_least=1,
    )
    patience: int = setting(
        0, "Stop after this many evaluations without improvement; 0 never stops", at_least=0
    )
    seed: int = setting(0, "Seed of everything random in this step", auto=True, panel="")
    threads: int = setting(1, "CPU threads to train with", shown="all cores", at_least=1, panel="")
    precision: str = setting(
        "fp32",
        "fp32, bf16, fp16, or auto: the faster of fp32 and bf16 on this machine",
        choices=PRECISIONS,
    )
    distill: Distillation = settings_of(Distillation)
    extra: dict[str, Any] = setting(
        {},
        "Any argument of transformers.TrainingArguments; may be repeated",
        "--set",
        metavar="KEY=VALUE",
    )
    schedule: str = setting("linear", choices=SCHEDULES)
    max_grad_norm: float = setting(1.0, at_least=0)
    evaluate_every: int = setting(0, at_least=0)

    def check(self) -> None:
        """Refuse cuts that neither a training nor a refit makes, and a training that stops before them."""
        super().check()
        if self.tighten is not None and not self.trains and self.refit == 0:
            raise RpmaskError(
                "A mask is tightened while its weights train or are refitted, and both are left out.",
                "Draw masks at the final sparsity, or give --epochs or --refit a number above 0.",
            )
        if self.tighten is not None and self.patience:
            raise RpmaskError(
                "A training that tightens its mask keeps the last weights, so it cannot stop early.",
                "Leave --patience out, or --tighten.",
            )

    def check_granularity(self, granularity: str) -> None:
        """Refuse to tighten a mask of whole units in a refit, or one of N:M in a training."""
        if self.tighten is None:
            return
        kind = parse_granularity(granularity).kind
        if kind == "n:m" and self.trains:
            raise RpmaskError(
                f"A mask of {granularity} is tightened only by a refit, without a training.",
                "Draw masks at the final sparsity, or give --epochs 0.",
            )
        at_sparsity(granularity, self.tighten)
        if kind not in ("weight", "n:m") and not self.trains:
            raise RpmaskError(
                f"A mask of granularity {granularity} is tightened only while its weights train.",
                "Draw masks at the final sparsity, or give --epochs a number above 0.",
            )

    @property
    def rising(self) -> float:
        """The share of the steps over which the learning rate rises (see `benchmarks/cutting.py`)."""
        cuts_on_the_way = self.tighten is not None and self.tighten_cuts > 1
        return self.tighten_share if cuts_on_the_way else self.warmup

    @property
    def trains(self) -> bool:
        """Whether there is any step to train."""
        steps = self.extra.get("max_steps", self.max_steps)
        epochs = self.extra.get("num_train_epochs", self.epochs)
        return any(not isinstance(given, (int, float)) or given > 0 for given in (steps, epochs))

    def refit_rows(self, sparsity: float, *, drawn: bool) -> int:
        """The rows to refit on under a mask of this sparsity; a mask that was searched is not refitted."""
        if self.refit is not None:
            return self.refit
        if not drawn:
            return 0
        if not self.trains:
            return REFIT_ROWS_ALONE
        return REFIT_ROWS if sparsity >= REFIT_FROM else 0
